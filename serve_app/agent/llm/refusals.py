"""What a server means that does not answer a chat."""

import re
from dataclasses import dataclass

from openai import APIStatusError

from serve_app.agent.llm.chunks import FailedInStream

_TOO_LONG = re.compile(
    r"context.?(length|size|window)|prompt is too long|context the overflows|input token count"
    r"|exceeds? the (maximum|limit).{0,40}tokens|too many (input )?tokens|reduce the length of",
    re.IGNORECASE,
)
_CONTENT = re.compile(
    r"content.?(filter|policy|management)|ResponsibleAI|data_inspection_failed|prohibited.content",
    re.IGNORECASE,
)
_LOADING = re.compile(r"loading|warming up|not ready|starting", re.IGNORECASE)
_LOADING_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 2.0
"""A fall-back, or the apology, is better than a longer silence."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error that the server gave in place of a reply. Never shown: it may quote the chat."""

    status: int
    """Of HTTP; 400 where the error came in a stream, with 200."""
    text: str
    """All that it says."""
    retry_after: str = ""
    """The header."""

    @property
    def is_too_long(self) -> bool:
        """Whether the chat does not fit into the context of the model. OpenAI has a code for it;
        others say it in words (`serve_app/fakes/openai_refusals.py`, TOO_LONG)."""
        return self.status in (400, 413, 422) and bool(_TOO_LONG.search(self.text))

    @property
    def is_about_content(self) -> bool:
        """Whether the provider's filter refused what was said."""
        return self.status in (400, 403) and bool(_CONTENT.search(self.text))

    @property
    def pause_s(self) -> float:
        """After how long it makes sense to ask again for the same reply; 0 if it does not."""
        if self.status not in (429, 503):
            return 0.0
        try:
            wanted_s = float(self.retry_after)
        except ValueError:
            is_loading = self.status == 503 and _LOADING.search(self.text)
            return _LOADING_PAUSE_S if is_loading else 0.0
        return wanted_s if wanted_s <= _LONGEST_PAUSE_S else 0.0


def refusal_of(error: APIStatusError | FailedInStream) -> Refusal:
    """What an error says."""
    if isinstance(error, FailedInStream):
        return Refusal(400, error.text)
    text = f"{error.code} {error.message}"
    return Refusal(error.status_code, text, error.response.headers.get("retry-after", ""))

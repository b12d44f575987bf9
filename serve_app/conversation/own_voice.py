"""The agent's own voice, come back from a loudspeaker to a microphone without echo cancellation.

It looks like a barge-in. What gives it away is its words: they are those that were just said.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import product
from typing import Final

from serve_app.conversation.words import words

_CERTAIN_AFTER: Final = 3
"""Times in a row."""
_SHARE: Final = 0.6
"""Of the words of a longer text that have to be the agent's, in the same order."""
_LONG: Final = 5
"""Letters. A shorter word counts with its neighbour only: everybody says "the"."""
_ALIKE: Final = 0.75
"""Of the letters of up to three words: a fragment of speech is misheard easily."""
_FEW: Final = 3
_SHORTEST: Final = 5
"""Letters. Fewer have to be the same: "no" is not "now"."""
_RECENT: Final = 7
"""Words among which a fragment of up to three is looked for."""
_LATELY: Final = 20
"""Words said since those that are heard: the output runs ahead of its echo."""


class OwnVoice:
    """Finds out, over a session, whether the microphone hears the loudspeaker."""

    def __init__(self) -> None:
        self._times = 0

    @property
    def is_certain(self) -> bool:
        """From then on a sound over the agent says nothing, only its words do."""
        return self._times >= _CERTAIN_AFTER

    def note(self, is_own: bool) -> None:
        """What was heard over the agent was its own voice, or was not."""
        if not self.is_certain:
            self._times = self._times + 1 if is_own else 0


def is_own_voice(heard: str, said: str) -> bool:
    """Whether `heard` is, but for what was misheard, among the last words of `said`."""
    echo = words(heard)
    before = words(said)[-len(echo) - _LATELY :]
    if not echo or not before:
        return False
    return _is_among(echo, before) if len(echo) <= _FEW else _is_mostly(echo, before)


def _is_mostly(echo: Sequence[str], before: Sequence[str]) -> bool:
    blocks = SequenceMatcher(None, before, echo, autojunk=False).get_matching_blocks()
    *found, _ = blocks  # the last one is empty
    sure = [b.size for b in found if b.size > 1 or len(echo[b.b]) >= _LONG]
    return sum(sure) >= _SHARE * len(echo)


def _is_among(echo: Sequence[str], before: Sequence[str]) -> bool:
    text = " ".join(echo)
    sizes = range(max(1, len(echo) - 1), len(echo) + 2)
    starts = range(max(0, len(before) - _RECENT), len(before))
    return any(_is_alike(text, " ".join(before[i : i + n])) for i, n in product(starts, sizes))


def _is_alike(one: str, other: str) -> bool:
    if len(one) < _SHORTEST:
        return one == other
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= _ALIKE

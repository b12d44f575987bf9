"""The form of a transcription. It stays in memory: what was said is on no disk."""

import logging
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from serve_app.ingress.rest.bodies import chunks, in_time
from serve_app.protocol.realtime.refused import Refused

# It quotes forms that it cannot read. The client is told what is wrong with its own.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

_FORMATS: Final = ("json", "text", "verbose_json")
_IGNORED: Final = frozenset(
    {"model", "prompt", "temperature", "include", "keywords", "languages", "chunking_strategy"}
)
_HARMLESS: Final = {"stream": ("false",), "timestamp_granularities": ("segment",)}
"""What may be asked for with these values only."""
_FIELDS: Final = frozenset({"file", "language", "response_format"}) | _IGNORED | set(_HARMLESS)
_MOST_FIELDS: Final = 64
_MOST_FIELD_BYTES: Final = 16 << 10


@dataclass(frozen=True, slots=True)
class Form:
    """What counts of it."""

    file: bytes
    language: str = ""
    response_format: str = "json"


class _InMemory(MultiPartParser):
    spool_max_size = 1 << 40


async def transcription_form(request: Request, most_bytes: int) -> Form:
    """Raises Refused."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Refused("invalid_form", "send a form: multipart/form-data, with the sound as `file`")
    body = chunks(request, most_bytes)
    parser = _InMemory(
        request.headers,
        body,
        max_files=1,
        max_fields=_MOST_FIELDS,
        max_part_size=_MOST_FIELD_BYTES,
    )
    try:
        async with in_time():
            form = await parser.parse()
    except MultiPartException as error:
        raise Refused("invalid_form", f"the form cannot be read: {error.message}") from None
    except UnicodeError:  # of a character set that the client has chosen
        raise Refused("invalid_form", "the form cannot be read: send it in UTF-8") from None
    try:
        return await _checked(form)
    finally:
        await form.close()


async def _checked(form: FormData) -> Form:
    file, texts = form.get("file"), _texts(form)
    if not isinstance(file, UploadFile):
        raise Refused("missing_parameter", "the sound has to be a file of the form", "file")
    format_ = texts.get("response_format", "json")
    if format_ not in _FORMATS:
        raise Refused(
            "unsupported_value", f"it has to be one of {', '.join(_FORMATS)}", "response_format"
        )
    return Form(await file.read(), texts.get("language", ""), format_)


def _texts(form: FormData) -> dict[str, str]:
    """The fields but the file; the last of each name. Raises Refused."""
    found = {}
    for name, value in form.multi_items():
        name = name.removesuffix("[]")  # lists, as OpenAI's clients write them
        if name not in _FIELDS:
            raise Refused("unknown_parameter", f"{ascii(name)[:80]} is not known here")
        if isinstance(value, UploadFile):
            continue
        if name in _HARMLESS and value not in _HARMLESS[name]:
            possible = ", ".join(_HARMLESS[name])
            raise Refused("unsupported_value", f"only {possible} is possible here", name)
        found[name] = value
    return found

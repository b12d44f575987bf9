"""What the form of a transcription may ask for, and what it may look like."""

from typing import Any

import numpy as np
import pytest

from tests.ingress.replica import replica
from tests.ingress.rest.asking import asking, plain, refused
from tests.ingress.rest.whisper import PATH, RATE_HZ, SPEECH, Whisper, file, form_of, transcribe

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(
    "how",
    [
        {"prompt": "Mister", "temperature": 0.2, "include": ["logprobs"]},
        {"timestamp_granularities": ["segment"]},
        {"chunking_strategy": "auto"},
    ],
)
async def test_what_asks_for_nothing_is_taken(how: Any) -> None:
    async with replica() as server, asking(server) as client:
        assert (await transcribe(client, **how)).text == ""


@pytest.mark.parametrize(
    ("how", "code", "param"),
    [
        ({"response_format": "srt"}, "unsupported_value", "response_format"),
        ({"timestamp_granularities": ["word"]}, "unsupported_value", "timestamp_granularities"),
        ({"stream": True}, "unsupported_value", "stream"),
        ({"known_speaker_names": ["Ada"]}, "unknown_parameter", None),
        ({"extra_body": {"speed": "2"}}, "unknown_parameter", None),
        ({"file": ("a.wav", b"no sound")}, "invalid_file", "file"),
        ({"file": file(format="AIFF")}, "invalid_file", "file"),
        ({"file": file(SPEECH[:1000])}, "invalid_file", "file"),
        ({"file": file(np.zeros(21 * RATE_HZ), format="FLAC")}, "invalid_file", "file"),
    ],
)
async def test_what_cannot_be_is_refused(how: Any, code: str, param: str | None) -> None:
    async with replica(ingress={"audio": {"file_s": 20}}) as server, asking(server) as client:
        whisper = Whisper(server)
        async with refused(400, code, param):
            await transcribe(client, **how)
        assert not whisper.asked


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ({"json": {"file": "a"}}, 400, "invalid_form"),
        ({"data": {"model": "any"}, "files": {"sound": b"a"}}, 400, "unknown_parameter"),
        ({"files": {"file": (None, b"text")}}, 400, "missing_parameter"),
        ({"files": [("file", b"a"), ("file", b"b")]}, 400, "invalid_form"),
        ({"files": [(f"f{n}", (None, b"a")) for n in range(70)]}, 400, "invalid_form"),
        ({"files": {"prompt": (None, b"a" * 20_000)}}, 400, "invalid_form"),
        ({"files": {"file": b"a" * 70_000}}, 413, "request_too_large"),
        (
            {"content": b"--", "headers": {"content-type": "multipart/form-data"}},
            400,
            "invalid_form",
        ),
    ],
    ids=["json", "name", "text", "two", "many", "prompt", "big", "boundary"],
)
async def test_a_form_that_is_none_is_refused(how: Any, status: int, code: str) -> None:
    async with replica(ingress={"audio": {"file_bytes": 1 << 16}}) as server:
        answer = await plain(server, "POST", PATH, **how)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


PROMPT = b'--a\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nxn--Ada\r\n'


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("Multipart/Form-Data; boundary=a", 200),
        ("multipart/form-data; boundary=a; charset=undefined", 400),
        ("multipart/form-data; boundary=a; charset=idna", 400),
    ],
)
async def test_how_the_form_is_called(kind: str, status: int) -> None:
    """Python has character sets that decode nothing; which one it is, the client chooses."""
    async with replica() as server:
        form = PROMPT + form_of(file()[1])
        answer = await plain(server, "POST", PATH, content=form, headers={"content-type": kind})
        assert answer.status_code == status, answer.text
        if status == 400:
            assert answer.json()["error"]["code"] == "invalid_form"


async def test_a_body_without_a_length_is_bounded_too() -> None:
    async def parts() -> Any:
        yield b'--a\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(10):
            yield b"a" * 10_000

    headers = {"content-type": "multipart/form-data; boundary=a"}
    async with replica(ingress={"audio": {"file_bytes": 1 << 16}}) as server:
        answer = await plain(server, "POST", PATH, content=parts(), headers=headers)
        assert answer.status_code == 413

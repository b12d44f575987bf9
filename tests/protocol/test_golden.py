"""One set of golden bytes for all clients: tests/web/msgpack.test.mjs reads the same file."""

import json

import pytest

from serve_app.protocol.codec import decode
from tests.protocol.golden import FROM_CLIENT, FROM_SERVER, GOLDEN, golden

ENTRIES = json.loads(GOLDEN.read_text())


def test_messages_have_the_bytes_that_they_always_had() -> None:
    assert golden() == ENTRIES
    assert len(ENTRIES) == len(FROM_SERVER) + len(FROM_CLIENT)


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry["from"] == "client"])
def test_what_a_client_sends_is_understood(entry: dict[str, str]) -> None:
    decode(bytes.fromhex(entry["frame"]))

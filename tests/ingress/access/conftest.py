"""What a replica that asks for keys has."""

import time
from pathlib import Path

import pytest

from serve_app.access.keys import Key, hashed
from serve_app.app import FORWARDED_FOR
from tests.ingress.access.guests import ADA, BEN, OLD, SECRET, write_keys
from tests.ingress.access.tokens import PEM


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a replica has it."""
    monkeypatch.setenv("ECHO_CLIENT_KEY_SECRET", SECRET)
    monkeypatch.setenv("JWT_SECRET", SECRET)
    for name, value in FORWARDED_FOR.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Of Ada and Ben, and one that has expired."""
    path = tmp_path / "keys.json"
    write_keys(
        path,
        Key("ada", hashed(ADA), 0.0),
        Key("ben", hashed(BEN), 0.0, time.time() + 3600),
        Key("old", hashed(OLD), 0.0, time.time() - 1),
    )
    return path


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "public.pem"
    path.write_bytes(PEM)
    return path

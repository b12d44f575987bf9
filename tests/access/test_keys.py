"""Keys at rest."""

import pytest

from serve_app.access import client_keys
from serve_app.access.keys import (
    Key,
    KeyRing,
    hashed,
    new_secret,
    parse_duration,
    shown_time,
)

NOW_S = 1_800_000_000.0


def test_a_file_holds_no_key_and_comes_back_as_it_was() -> None:
    secret = new_secret()
    ring = KeyRing().with_key(Key("ada", hashed(secret), NOW_S, NOW_S + 60))
    ring = ring.with_key(Key("ben", hashed(new_secret()), NOW_S))
    text = ring.written()
    assert secret not in text and secret.removeprefix("echo_sk_") not in text
    assert KeyRing.read(text) == ring


def test_keys_cannot_be_guessed_and_differ() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100 and all(len(key) == len("echo_sk_") + 43 for key in made)


def test_a_key_is_found_and_has_its_time() -> None:
    secret = new_secret()
    ring = KeyRing().with_key(Key("ada", hashed(secret), NOW_S, NOW_S + 60))
    found = ring.find(secret)
    assert found is not None and found.name == "ada"
    assert ring.find(secret + "x") is ring.find("") is ring.find(hashed(secret)) is None
    assert ring.holds(found.sha256, NOW_S + 59) and not ring.holds(found.sha256, NOW_S + 60)
    assert not ring.without("ada").holds(found.sha256, NOW_S)


@pytest.mark.parametrize("name", ["", "-a", "a/b", "a b", "é", "x" * 65, "a\n"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        KeyRing().with_key(Key(name, "0" * 64, NOW_S))


def test_a_name_is_there_once() -> None:
    ring = KeyRing().with_key(Key("ada", "0" * 64, NOW_S))
    with pytest.raises(ValueError, match="there is a key 'ada'"):
        ring.with_key(Key("ada", "1" * 64, NOW_S))
    with pytest.raises(ValueError, match="there is no key 'ben'"):
        ring.without("ben")


GOOD = '{"name": "a", "sha256": "' + "0" * 64 + '", "created": "2026-11-28T00:00:00Z"'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"keys": {}}',
        '{"keys": ["a"]}',
        '{"keys": [' + GOOD + "}]}",
        '{"keys": [' + GOOD + ', "expires": 5}]}',
        '{"keys": [' + GOOD + ', "expires": "soon"}]}',
        '{"keys": [' + GOOD + ', "expires": ""}]}',
        '{"keys": [' + GOOD + ', "expires": null, "key": "echo_sk_"}]}',
        '{"keys": [' + GOOD.replace("0000", "000g", 1) + ', "expires": null}]}',
    ],
)
def test_a_file_that_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        KeyRing.read(text)


def test_times() -> None:
    assert [parse_duration(text) for text in ("90m", "12h", "30d")] == [5400, 43_200, 2_592_000]
    for wrong in ("30", "d", "-1d", "0d", "1w", "1.5h", "1d ", "999999d"):
        with pytest.raises(ValueError, match="is no time"):
            parse_duration(wrong)
    assert shown_time(NOW_S) == "2027-01-15T08:00:00Z"


@pytest.mark.parametrize(("key_lasts_s", "lasts_s"), [(None, 600), (60, 60), (6000, 600)])
def test_a_client_key_ends_with_its_key_at_the_latest(
    key_lasts_s: float | None, lasts_s: float
) -> None:
    key = Key("ada", "0" * 64, NOW_S, None if key_lasts_s is None else NOW_S + key_lasts_s)
    made, expires_s = client_keys.make(b"x" * 32, key, NOW_S, 600)
    assert expires_s == client_keys.read(b"x" * 32, made, NOW_S).expires_s == NOW_S + lasts_s

"""What is refused of `args.ingress.records`, before a server starts."""

from typing import Any

import pytest

from serve_app.errors import ConfigError
from serve_app.records.check import check_records
from serve_app.settings.environment import load
from serve_app.settings.schema import AppConfig

SECRET = "a secret of thirty-two bytes, at least"
PLACE = {"url": "/srv/calls", "spool_dir": "/var/spool/calls"}


def config(**records: Any) -> AppConfig:
    return load({"ingress": {"records": PLACE | records}}, {})


def test_by_default_nothing_is_kept() -> None:
    assert AppConfig().ingress.records is None
    check_records(AppConfig(), {})


@pytest.mark.parametrize("url", ["/srv/calls", "file:///srv/calls", "memory://calls"])
def test_a_place_that_there_is_is_taken(url: str) -> None:
    check_records(config(url=url, recording=True), {})


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("/srv/calls", "/srv/calls"),
        ("/srv/calls #1?", "/srv/calls #1?"),
        ("file:///srv/calls", "/srv/calls"),
        ("s3://calls", None),
    ],
)
def test_a_folder_of_this_machine_is_known(url: str, folder: str | None) -> None:
    found = config(url=url).ingress.records
    assert found is not None and found.folder == folder


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        ({"url": "calls"}, "url must be an absolute path"),
        ({"spool_dir": "spool"}, "spool_dir must be an absolute path"),
        ({"url": ""}, "url"),
        ({"colour": "red"}, "colour is not a setting"),
        ({"max_minutes": 0}, "max_minutes"),
        ({"url": "/srv/calls", "secret": SECRET}, "secret is not a setting"),
    ],
)
def test_a_wrong_setting_is_named(records: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        config(**records)


@pytest.mark.parametrize(
    ("secret", "complaint"),
    [
        ("", "ECHO_RECORDS_SECRET must have at least 32 bytes"),
        ("short", "at least 32 bytes"),
        ("whsec_c2hvcnQ=", "at least 32 bytes"),
        ("whsec_not base64!", "is not base64"),
    ],
)
def test_a_webhook_without_a_secret_is_refused(secret: str, complaint: str) -> None:
    """Whoever gets it could not tell whose it is."""
    with pytest.raises(ConfigError, match=complaint) as caught:
        check_records(config(url="https://example.com/hook"), {"ECHO_RECORDS_SECRET": secret})
    assert "\n" not in str(caught.value) and not (secret and secret in str(caught.value))


def test_a_webhook_with_one_is_taken() -> None:
    found = config(url="https://example.com/hook", secret_variable="MINE")
    check_records(found, {"MINE": SECRET})
    check_records(found, {"MINE": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"})


@pytest.mark.parametrize(
    ("url", "complaint"),
    [("s3://calls/today", "s3fs"), ("nonsense://calls", "nonsense")],
)
def test_what_fsspec_cannot_reach_is_refused(url: str, complaint: str) -> None:
    """s3fs is not installed with the server."""
    with pytest.raises(ConfigError, match=rf"args.ingress.records.url: .*{complaint}"):
        check_records(config(url=url), {})


def test_sound_that_is_not_pcm_is_refused() -> None:
    args = {"agent": {"tts": {"output_format": "mp3_44100_128"}}}
    without = load(args | {"ingress": {"records": PLACE}}, {})
    check_records(without, {})
    having = load(args | {"ingress": {"records": {**PLACE, "recording": True}}}, {})
    with pytest.raises(ConfigError, match=r"mp3_44100_128, which is not recorded"):
        check_records(having, {})

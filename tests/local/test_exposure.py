"""Who can reach a server, by what its owner has said."""

import pytest

from serve_app.errors import ConfigError
from serve_app.local.exposure import Exposure, exposure, unheard, warnings


def test_by_default_a_server_is_for_its_machine() -> None:
    assert exposure(None, False, {}) == Exposure("127.0.0.1", "127.0.0.1", 512, is_open=False)
    assert warnings(Exposure(), has_credentials=False) == []


def test_the_command_line_wins_over_the_environment() -> None:
    env = {"ECHO_SERVE_HOST": "::1", "ECHO_SERVE_OPEN": "1"}
    assert exposure("0.0.0.0", False, env).host == "0.0.0.0"
    assert exposure(None, False, env) == Exposure("::1", is_open=True)


def test_a_name_becomes_an_address() -> None:
    assert exposure("localhost", False, {}).host in ("127.0.0.1", "::1")


@pytest.mark.parametrize(
    "host, shown",
    [
        *[(every, "localhost") for every in ("127.0.0.1", "::1", "0.0.0.0", "::")],
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "[2001:db8::7]"),
    ],
)
def test_the_address_that_is_shown_is_one_that_answers(host: str, shown: str) -> None:
    assert Exposure(host).host_in_url == shown


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_a_public_address_needs_keys_or_a_word_from_its_owner(host: str) -> None:
    with pytest.raises(ConfigError, match=r"--open"):
        warnings(Exposure(host), has_credentials=False)
    assert warnings(Exposure(host), has_credentials=True) == []
    loud = "\n".join(warnings(Exposure(host, is_open=True), has_credentials=False))
    assert "WARNING: no keys are set" in loud and host in loud


@pytest.mark.parametrize("in_file", ["0.0.0.0", "::", "192.0.2.7", "voice.example.com"])
def test_a_file_that_would_let_others_in_and_is_not_asked_is_told_so(in_file: str) -> None:
    (line,) = unheard(in_file, Exposure())
    assert "127.0.0.1" in line and f"http_options.host is {in_file}" in line
    assert f"--host {in_file}" in line
    assert unheard(in_file, Exposure("192.0.2.7")) == []


@pytest.mark.parametrize("in_file", ["", "127.0.0.1", "::1", "localhost"])
def test_a_file_for_this_machine_gets_what_it_says(in_file: str) -> None:
    assert unheard(in_file, Exposure()) == unheard(in_file, Exposure("0.0.0.0")) == []


@pytest.mark.parametrize(
    "host, env, named",
    [
        ("no.such.host.invalid", {}, "--host"),
        (None, {"ECHO_SERVE_HOST": "300.1.1.1"}, "ECHO_SERVE_HOST"),
        (None, {"ECHO_METRICS_HOST": "here!"}, "ECHO_METRICS_HOST"),
        (None, {"ECHO_CONNECTIONS_PER_ADDRESS": "few"}, "ECHO_CONNECTIONS_PER_ADDRESS"),
    ],
)
def test_what_is_wrong_is_said_by_its_name(
    host: str | None, env: dict[str, str], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        exposure(host, False, env)

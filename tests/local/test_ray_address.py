"""Whether a command that asks a server leaves 127.0.0.1 as it is. That it then finds the server is
in tests/serve/test_forget.py."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from serve_app.local.ray_address import loopback_addresses, stay_on_loopback

VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
HERE = "127.0.0.1:45975"
SLEEP = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def raylet() -> Iterator[None]:
    """A process with the option by which a raylet is told where GCS is."""
    with subprocess.Popen([*SLEEP, f"--gcs-address={HERE}"], stdin=subprocess.PIPE) as process:
        yield
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize("address", [HERE, "localhost:45975", "auto"])
def test_a_ray_on_loopback_is_reached_there(raylet: None, address: str) -> None:
    env: dict[str, str] = {}
    stay_on_loopback(env, address)
    assert env == {VARIABLE: "0"}


@pytest.mark.parametrize("address", ["127.0.0.1:6379", "10.0.0.7:45975"])
def test_another_ray_is_left_alone(raylet: None, address: str) -> None:
    env: dict[str, str] = {}
    stay_on_loopback(env, address)
    assert env == {}


def test_the_address_in_the_environment_is_the_one_that_is_meant(raylet: None) -> None:
    """KubeRay sets it in its pods, where Ray listens at the pod's address."""
    env = {"RAY_ADDRESS": "127.0.0.1:6379"}
    stay_on_loopback(env, "auto")
    assert VARIABLE not in env


def test_the_users_own_choice_stays(raylet: None) -> None:
    env = {VARIABLE: "1"}
    stay_on_loopback(env, HERE)
    assert env == {VARIABLE: "1"}


def test_only_what_is_on_loopback_counts() -> None:
    lines = [["raylet", "--gcs-address=192.0.2.2:6379"], ["raylet", f"--gcs-address={HERE}"], []]
    assert loopback_addresses(lines) == {HERE}

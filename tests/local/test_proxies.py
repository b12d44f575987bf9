import pytest

from serve_app.local.proxies import go_around_proxies


def test_without_a_proxy_nothing_is_changed() -> None:
    env = {"PATH": "/bin", "NO_PROXY": "a.example"}
    go_around_proxies(env)
    assert env == {"PATH": "/bin", "NO_PROXY": "a.example"}


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_calls_on_this_machine_go_around_a_proxy(name: str) -> None:
    env = {name: "http://proxy.example:3128"}
    go_around_proxies(env)
    assert env == {
        name: "http://proxy.example:3128",
        "no_grpc_proxy": "0.0.0.0/0,::/0",
        "no_proxy": "localhost,127.0.0.1,::1",
        "NO_PROXY": "localhost,127.0.0.1,::1",
    }


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_the_exceptions_of_the_user_stay(name: str) -> None:
    env = {"http_proxy": "http://proxy.example", name: "intern.example, localhost"}
    go_around_proxies(env)
    assert env["no_proxy"] == env["NO_PROXY"] == "intern.example,localhost,127.0.0.1,::1"


def test_grpc_as_the_user_wants_it() -> None:
    env = {"http_proxy": "http://proxy.example", "no_grpc_proxy": "10.0.0.0/8"}
    go_around_proxies(env)
    assert env["no_grpc_proxy"] == "10.0.0.0/8"

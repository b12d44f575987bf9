"""What a server refuses to start with, and whether it asks for keys."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from serve_app.access.configured import check_access, has_credentials
from serve_app.app import build
from serve_app.errors import ConfigError
from serve_app.settings.environment import load
from serve_app.settings.schema import AppConfig

LONG = "x" * 32
HS256 = {"algorithms": ["HS256"], "secret_variable": "JWT_SECRET"}
URL = "https://id.example/jwks"


def config(**access: Any) -> AppConfig:
    return load({"access": access}, {})


@pytest.mark.parametrize(
    ("access", "env", "has"),
    [
        ({}, {}, False),
        ({"origins": ["https://a.example"]}, {"ECHO_CLIENT_KEY_SECRET": LONG}, False),
        ({"keys_file": "keys.json"}, {}, True),
        ({"jwt": HS256}, {"JWT_SECRET": LONG}, True),
        ({"jwt": HS256}, {}, False),
        ({"jwt": {"algorithms": ["RS256"], "jwks_url": URL}}, {}, True),
    ],
)
def test_whether_clients_need_a_credential(
    access: dict[str, Any], env: dict[str, str], has: bool
) -> None:
    assert has_credentials(config(**access), env) is has


def test_the_environment_names_the_file() -> None:
    assert has_credentials(load({}, {"ECHO_KEYS_FILE": "keys.json"}), {})


@pytest.mark.parametrize(
    ("jwt", "reason"),
    [
        ({"algorithms": ["RS256"]}, "set one of secret_variable, public_key_file and jwks_url"),
        ({"algorithms": ["RS256"], "jwks_url": URL, "public_key_file": "a"}, "set one of"),
        ({"algorithms": ["HS256"], "jwks_url": URL}, "HS256 needs secret_variable"),
        ({"algorithms": ["HS256", "RS256"], "public_key_file": "a"}, "HS256 needs secret"),
        ({**HS256, "algorithms": ["HS256", "RS256"]}, "secret_variable is for HS256 alone"),
        ({**HS256, "algorithms": ["none"]}, "'HS256', 'RS256' or 'ES256'"),
        ({**HS256, "algorithms": []}, "at least 1 item"),
        ({"algorithms": ["RS256"], "jwks_url": "http://id.example/jwks"}, "must be https"),
        ({"algorithms": ["RS256"], "jwks_url": "file:///etc/passwd"}, "must be https"),
    ],
)
def test_a_source_of_tokens_that_would_not_be_safe(jwt: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        config(jwt=jwt)


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/", "https://a/b", "*"])
def test_an_origin_is_written_as_browsers_do(origin: str) -> None:
    with pytest.raises(ConfigError, match="an origin is scheme://host"):
        config(origins=[origin])


@pytest.mark.parametrize("network", ["10.0.0.1/8", "proxy", "*"])
def test_a_proxy_is_a_network(network: str) -> None:
    with pytest.raises(ConfigError, match=r"args\.access\.trusted_proxies"):
        config(trusted_proxies=[network])


def refusal(access: dict[str, Any], env: dict[str, str], hides_addresses: bool = False) -> str:
    with pytest.raises(ConfigError) as caught:
        check_access(config(**access), env, hides_addresses)
    return str(caught.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "keys.json"
    broken.write_text("{}")
    assert "make it with `echo-serve keys add NAME`" in refusal({"keys_file": "nowhere"}, {})
    assert f"{broken} is no file of keys" in refusal({"keys_file": str(broken)}, {})
    for env in ({}, {"JWT_SECRET": LONG[1:]}):
        assert refusal({"jwt": HS256}, env).startswith("JWT_SECRET must have at least 32 bytes")
    short = {"ECHO_CLIENT_KEY_SECRET": "short"}
    assert refusal({}, short).startswith("ECHO_CLIENT_KEY_SECRET must have at least 32 bytes")


def test_addresses_that_cannot_be_known_are_not_limited_by_chance() -> None:
    access: dict[str, Any] = {"per_address": {"connections": 1}}
    assert "set args.access.trusted_proxies as well" in refusal(access, {}, hides_addresses=True)
    check_access(config(**access), {}, hides_addresses=False)
    check_access(config(**access, trusted_proxies=["127.0.0.1"]), {}, hides_addresses=True)


def public(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


@pytest.mark.parametrize(
    ("algorithm", "pem", "fits"),
    [
        ("RS256", public(rsa.generate_private_key(65537, 2048)), True),
        ("ES256", public(rsa.generate_private_key(65537, 2048)), False),
        ("RS256", public(rsa.generate_private_key(65537, 1024)), False),
        ("ES256", public(ec.generate_private_key(ec.SECP256R1())), True),
        ("ES256", public(ec.generate_private_key(ec.SECP384R1())), False),
        ("RS256", b"not a key", False),
    ],
)
def test_a_public_key_fits_its_algorithm(
    tmp_path: Path, algorithm: str, pem: bytes, fits: bool
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(pem)
    access = {"jwt": {"algorithms": [algorithm], "public_key_file": str(path)}}
    if fits:
        check_access(config(**access), {}, hides_addresses=False)
    else:
        assert refusal(access, {}).startswith("args.access.jwt.public_key_file: ")


def test_a_server_that_cannot_read_its_keys_is_not_built() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.json is not there"):
        build({"access": {"keys_file": "nowhere.json"}})


def test_replicas_find_the_file_wherever_they_run_and_believe_no_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("keys.json").write_text('{"keys": []}')
    ingress = build({"access": {"keys_file": "keys.json"}})._bound_deployment
    (settings, *_) = ingress.init_args
    assert settings.access.keys_file == str(tmp_path / "keys.json")
    assert ingress.ray_actor_options["runtime_env"]["env_vars"]["FORWARDED_ALLOW_IPS"] == ""

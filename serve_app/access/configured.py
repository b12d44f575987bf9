"""Whether who may connect is decided by keys, and whether everything for that is there."""

from collections.abc import Mapping
from pathlib import Path

from serve_app.access.keys import KeyRing
from serve_app.errors import ConfigError
from serve_app.settings.access import AccessSettings, JwtSettings
from serve_app.settings.schema import AppConfig

SECRET_BYTES = 32
"""The least of a secret that signs with HMAC-SHA256."""


def has_credentials(config: AppConfig, env: Mapping[str, str]) -> bool:
    """Whether clients need a key or a JWT that this server can check."""
    jwt = config.access.jwt
    has_jwt = jwt is not None and (not jwt.secret_variable or bool(env.get(jwt.secret_variable)))
    return bool(config.access.keys_file) or has_jwt


def check_access(config: AppConfig, env: Mapping[str, str], hides_addresses: bool) -> None:
    """Raises ConfigError, with one line that says what to change. `hides_addresses`: the replicas
    are behind a HAProxy that does not say whom it has seen."""
    access = config.access
    if access.keys_file:
        read_keys(access.keys_file)
    if access.jwt is not None:
        _check_jwt(access.jwt, env)
    secret = env.get(access.client_key_secret_variable, "")
    if secret and len(secret.encode()) < SECRET_BYTES:
        raise ConfigError(_too_short(access.client_key_secret_variable))
    if access.per_address.any and hides_addresses and not access.trusted_proxies:
        raise ConfigError(
            "args.access.per_address is set, but behind Ray's HAProxy all clients have one address:"
            " set args.access.trusted_proxies as well (docs/access.md says how)"
        )


def read_keys(path: str) -> KeyRing:
    """Of this file. Raises ConfigError."""
    try:
        return KeyRing.read(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is not there: make it with `echo-serve keys add NAME`") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no file of keys: {error}") from None


def absolute(access: AccessSettings) -> AccessSettings:
    """With whole paths: a replica may run in another folder."""
    jwt, keys = access.jwt, access.keys_file
    if jwt is not None and jwt.public_key_file:
        whole = str(Path(jwt.public_key_file).resolve())
        jwt = jwt.model_copy(update={"public_key_file": whole})
    path = str(Path(keys).resolve()) if keys else ""
    return access.model_copy(update={"keys_file": path, "jwt": jwt})


def _check_jwt(jwt: JwtSettings, env: Mapping[str, str]) -> None:
    if (name := jwt.secret_variable) and len(env.get(name, "").encode()) < SECRET_BYTES:
        raise ConfigError(_too_short(name))
    if jwt.public_key_file:
        from serve_app.access.web_tokens import checked_public_key

        try:
            checked_public_key(Path(jwt.public_key_file).read_bytes(), jwt.algorithms)
        except (OSError, ValueError) as error:
            raise ConfigError(f"args.access.jwt.public_key_file: {error}") from None


def _too_short(variable: str) -> str:
    return f"{variable} must have at least {SECRET_BYTES} bytes: openssl rand -hex 32 makes one"

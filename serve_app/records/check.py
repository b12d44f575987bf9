"""Whether records can be kept as the settings say."""

from collections.abc import Mapping

from serve_app.errors import ConfigError
from serve_app.records.signing import SECRET_BYTES, key_of
from serve_app.settings.records import RecordSettings
from serve_app.settings.resolve import client_format
from serve_app.settings.schema import AppConfig

_WHERE = "args.ingress.records"


def check_records(config: AppConfig, env: Mapping[str, str]) -> None:
    """Raises ConfigError, with one line that says what to change."""
    settings = config.ingress.records
    if settings is None:
        return
    if settings.is_webhook:
        _check_secret(settings, env)
    elif settings.folder is None:
        _check_scheme(settings.scheme)
    found = client_format(config.agent.tts)
    if settings.recording and not found.is_pcm:
        raise ConfigError(
            f"{_WHERE}.recording: clients receive {found.name}, which is not recorded: take pcm, or"
            " leave recording out"
        )


def _check_secret(settings: RecordSettings, env: Mapping[str, str]) -> None:
    name = settings.secret_variable
    try:
        is_short = len(key_of(env.get(name, ""))) < SECRET_BYTES
    except ValueError:
        raise ConfigError(f"{name}: what follows whsec_ is not base64") from None
    if is_short:
        raise ConfigError(
            f"{name} must have at least {SECRET_BYTES} bytes, since {_WHERE}.url is a webhook, and"
            " those are signed: openssl rand -hex 32 makes one"
        )


def _check_scheme(scheme: str) -> None:
    import fsspec

    try:
        fsspec.get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{_WHERE}.url: {error}") from None

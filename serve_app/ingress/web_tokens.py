"""Where the keys come from that JSON Web Tokens are checked with."""

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt

from serve_app.access.web_tokens import Claims, checked_public_key, key_id, read
from serve_app.errors import EngineUnavailable, KeyRefused
from serve_app.settings.access import JwtSettings

log = logging.getLogger(__name__)

_FETCH_S = 4.0
_WAIT_S = 6.0
"""For the provider's keys, while a client waits for the answer to its handshake."""
_REST_S = 10.0
"""After a failure the provider is left alone for so long."""


class WebTokens:
    """Checks the tokens of one provider."""

    def __init__(self, settings: JwtSettings, env: Mapping[str, str]) -> None:
        self._settings = settings
        self._key: Any = None
        self._provider = _Provider(settings) if settings.jwks_url else None
        if settings.secret_variable:
            self._key = env[settings.secret_variable].encode()
        elif settings.public_key_file:
            pem = Path(settings.public_key_file).read_bytes()
            self._key = checked_public_key(pem, settings.algorithms)

    async def read(self, token: str, now_s: float) -> Claims:
        """Raises KeyRefused, and EngineUnavailable if the provider's keys cannot be had."""
        key = self._key if self._provider is None else await self._provider.key(key_id(token))
        return read(token, key, self._settings, now_s)


class _Provider:
    """Its public keys, asked for in a thread of its own: PyJWKClient waits for them, follows no
    redirects, and asks at most twice a minute for a key that it does not know."""

    def __init__(self, settings: JwtSettings) -> None:
        self._client = jwt.PyJWKClient(
            settings.jwks_url, lifespan=settings.jwks_cache_s, timeout=_FETCH_S
        )
        self._thread = ThreadPoolExecutor(1, "jwks")
        self._failed_s = -_REST_S

    async def key(self, name: str) -> jwt.PyJWK:
        """Raises KeyRefused and EngineUnavailable."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_WAIT_S):
                return await loop.run_in_executor(self._thread, self._get, name)
        except TimeoutError:
            raise EngineUnavailable("access", "the provider's keys do not come") from None

    def _get(self, name: str) -> jwt.PyJWK:
        if time.monotonic() - self._failed_s < _REST_S:
            raise EngineUnavailable("access", "the provider's keys cannot be had")
        try:
            self._client.get_signing_keys()
        except (jwt.PyJWTError, ValueError) as error:  # no answer, or one that holds no keys
            raise self._cannot_be_had(error) from None
        try:
            return self._client.get_signing_key(name)
        except jwt.PyJWKClientConnectionError as error:
            raise self._cannot_be_had(error) from None
        except (jwt.PyJWTError, ValueError):
            raise KeyRefused("the token was signed with a key that its issuer lacks") from None

    def _cannot_be_had(self, error: Exception) -> EngineUnavailable:
        self._failed_s = time.monotonic()
        log.warning("the provider's keys cannot be had: %s", error)
        return EngineUnavailable("access", "the provider's keys cannot be had")

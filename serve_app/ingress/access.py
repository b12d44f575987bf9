"""Who a client is, and whether it may still be here. The rules are in `serve_app/access/`."""

import socket as sockets
import time
from collections.abc import Callable, Mapping

from starlette.requests import HTTPConnection

from serve_app.access import client_keys
from serve_app.access.addresses import TrustedProxies
from serve_app.access.credentials import NOBODY, Principal, presented
from serve_app.access.keys import Key
from serve_app.access.origins import OriginRules
from serve_app.access.usage import Usage
from serve_app.errors import KeyEnded, KeyRefused
from serve_app.ingress.key_file import KeyFile
from serve_app.ingress.web_tokens import WebTokens
from serve_app.settings.access import AccessSettings
from serve_app.settings.edge import has_edge, hides_addresses

_ASKED = "send a key: as a bearer token, as the subprotocol bearer.<base64url>, or in open.key"
_WRONG = "this key is not known here: was it revoked, or copied in part?"


class Gate:
    """Of one ingress replica."""

    def __init__(
        self,
        settings: AccessSettings,
        env: Mapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises ConfigError. `clock`: Unix time."""
        self.settings = settings
        self.now_s = clock
        self.principals = Usage(settings.per_principal, "key")
        self.addresses = Usage(settings.per_address, "address")
        self._keys = KeyFile(settings.keys_file)
        self._tokens = None if settings.jwt is None else WebTokens(settings.jwt, env)
        self._secret = env.get(settings.client_key_secret_variable, "").encode()
        self._proxies = TrustedProxies(settings.trusted_proxies, has_edge(env))
        self._knows_addresses = bool(settings.trusted_proxies) or not hides_addresses(env)
        machine = sockets.gethostname().lower()
        names = (machine, f"{machine}.local")
        self._origins = OriginRules(settings.origins, names, settings.asks_for_keys)

    def receive(self, connection: HTTPConnection) -> "Guest":
        """Who is at an accepted socket, or has sent a request; `Guest.identify` looks at what it
        shows. Raises OriginRefused, and KeyRefused for a credential that cannot be read."""
        headers = connection.headers
        self._origins.check(headers.get("origin"), headers.get("host"))
        peer = connection.client.host if connection.client else ""
        forwarded_for = headers.getlist("x-forwarded-for")
        address = self._proxies.client(peer, forwarded_for) if self._knows_addresses else ""
        if not self.settings.asks_for_keys:
            return Guest(self, address)
        shown = presented(headers, connection.scope.get("subprotocols", []))
        return Guest(self, address, None, shown)

    async def identify(self, credential: str) -> Principal:
        """Raises KeyRefused and EngineUnavailable."""
        if client_keys.is_one(credential):
            return await self._client(credential)
        if self._tokens is not None and credential.count(".") == 2:
            claims = await self._tokens.read(credential, self.now_s())
            return Principal(f"jwt:{claims.subject}", claims.expires_s)
        key = await self.static_key(credential)
        return Principal(f"key:{key.name}", key.expires_s, key.sha256)

    async def static_key(self, credential: str) -> Key:
        """Raises KeyRefused."""
        await self._keys.look()
        key = self._keys.ring.find(credential)
        if key is None:
            raise KeyRefused(_WRONG)
        if not key.is_valid(self.now_s()):
            raise KeyRefused("this key has expired: ask whoever runs the server for another one")
        return key

    def client_key(self, key: Key, lasts_s: float) -> tuple[str, float] | None:
        """A client key for who has this key, and the Unix time of its end; None if the server has
        no secret to sign it with."""
        if not self._secret:
            return None
        return client_keys.make(self._secret, key, self.now_s(), lasts_s)

    async def look_again(self) -> None:
        """At what may have changed since."""
        await self._keys.look()

    def check(self, principal: Principal) -> None:
        """Raises KeyEnded."""
        now_s = self.now_s()
        if principal.expires_s is not None and now_s >= principal.expires_s:
            raise KeyEnded("the key has expired: connect again with a new one")
        if principal.key_sha256 and not self._keys.ring.holds(principal.key_sha256, now_s):
            raise KeyEnded("the key was revoked")

    async def _client(self, credential: str) -> Principal:
        if not self._secret:
            raise KeyRefused(_WRONG)
        found = client_keys.read(self._secret, credential, self.now_s())
        await self._keys.look()
        if not self._keys.ring.holds(found.key_sha256, self.now_s()):
            raise KeyRefused("the key for which this client key was made was revoked")
        return Principal(f"key:{found.name}", found.expires_s, found.key_sha256)


class Guest:
    """Who is at one socket, and what that counts against."""

    def __init__(
        self,
        gate: Gate,
        address: str = "",
        principal: Principal | None = NOBODY,
        credential: str = "",
    ) -> None:
        """`credential`: what its handshake has shown, which nobody has looked at."""
        self.principal = principal
        """None until it is known."""
        self.address = address
        """Of the client, as far as that is known; of a proxy if it is not."""
        self._gate = gate
        self._credential = credential
        self._counted: list[tuple[Usage, str, str]] = []
        """With the name that it counts for, and the session."""

    @property
    def has_shown_a_key(self) -> bool:
        """Or need not. The key may be a wrong one."""
        return self.principal is not None or bool(self._credential)

    @property
    def has_static_key(self) -> bool:
        """Or a client key that was made with one."""
        return self.principal is not None and bool(self.principal.key_sha256)

    def must_be_known(self) -> None:
        """Before anything but `open` is taken. Raises KeyRefused."""
        if self.principal is None:
            raise KeyRefused(_ASKED)

    async def identify(self, key: str = "") -> None:
        """By what its handshake has shown, or else by this key. May wait for an identity provider.
        Raises KeyRefused and EngineUnavailable."""
        if self.principal is None and (credential := self._credential or key):
            self.principal = await self._gate.identify(credential)

    def begin(self, session: str, is_new: bool) -> None:
        """A connection of this session begins, and the session itself if `is_new`: counts against
        all limits, or none. Where another connection still has the session's place, this one takes
        it over: it holds it, too, and has it alone once the other has left. Raises LimitReached."""
        now_s, counts = self._gate.now_s(), self._counts()
        for usage, name in counts:
            usage.may_begin(name, session, now_s, is_new)
        for usage, name in counts:
            usage.begin(name, session, now_s, is_new)
        self._counted = [(usage, name, session) for usage, name in counts]

    @property
    def tenant(self) -> str:
        """Only who has the same may resume the session."""
        return self.principal.name if self.principal else ""

    def check(self) -> None:
        """From time to time. Raises KeyEnded and LimitReached."""
        if self.principal is not None:
            self._gate.check(self.principal)
        for usage, name, _ in self._counted:
            usage.check(name, self._gate.now_s())

    def leave(self) -> None:
        """Safe to repeat."""
        for usage, name, session in self._counted:
            usage.end(name, session, self._gate.now_s())
        self._counted.clear()

    def _counts(self) -> list[tuple[Usage, str]]:
        settings, found = self._gate.settings, []
        if self.tenant and settings.per_principal.any:
            found.append((self._gate.principals, self.tenant))
        if self.address and settings.per_address.any:
            found.append((self._gate.addresses, self.address))
        return found


def anybody() -> Guest:
    """Of a server that asks nobody."""
    return Guest(Gate(AccessSettings(), {}))

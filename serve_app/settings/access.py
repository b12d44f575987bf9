"""Settings of who may connect, and how much each may use. The manual is docs/access.md."""

import ipaddress
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from serve_app.settings.base import Seconds, Settings

Algorithm = Literal["HS256", "RS256", "ES256"]
_LOCAL = ("localhost", "127.0.0.1", "::1")


def _network(value: str) -> str:
    ipaddress.ip_network(value)
    return value


def _origin(value: str) -> str:
    """As a browser writes it: scheme, host and port, nothing else."""
    parts = urlsplit(value)
    if not (parts.scheme and parts.netloc) or value != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("an origin is scheme://host or scheme://host:port, without a path")
    return value.lower()


Network = Annotated[str, AfterValidator(_network)]
Origin = Annotated[str, AfterValidator(_origin)]


class JwtSettings(Settings):
    """Tokens of somebody else, such as an identity provider. One of the three sources of keys."""

    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)]
    """The only ones that are taken, whatever a token says of itself."""
    secret_variable: str = ""
    """Name of the environment variable with the secret of HS256, at least 32 bytes."""
    public_key_file: str = ""
    """A PEM file with the public key of RS256 or ES256."""
    jwks_url: str = ""
    """Where the provider has its public keys, for RS256 and ES256: https, or this machine."""
    jwks_cache_s: Seconds = 300.0
    """How long the provider's keys are kept before they are asked for again."""
    audience: str = ""
    """If it is set, a token must be for it (`aud`)."""
    issuer: str = ""
    """If it is set, a token must be from it (`iss`)."""
    leeway_s: float = Field(30.0, ge=0, le=300)
    """By how much the two clocks may differ."""

    @model_validator(mode="after")
    def _has_one_source_that_fits(self) -> Self:
        sources = [self.secret_variable, self.public_key_file, self.jwks_url]
        if sum(map(bool, sources)) != 1:
            raise ValueError("set one of secret_variable, public_key_file and jwks_url")
        if set(self.algorithms) & {"HS256"} and not self.secret_variable:
            # A public key would be the secret: whoever knows it could sign.
            raise ValueError("HS256 needs secret_variable: it has no public key")
        if self.secret_variable and self.algorithms != ("HS256",):
            raise ValueError("secret_variable is for HS256 alone")
        return self

    @model_validator(mode="after")
    def _fetches_keys_safely(self) -> Self:
        url = urlsplit(self.jwks_url)
        is_safe = url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOCAL)
        if self.jwks_url and not is_safe:
            raise ValueError("jwks_url must be https, or http on this machine")
        return self


class UseLimits(Settings):
    """How much one may use. 0 is no limit. Each ingress replica counts by itself."""

    connections: int = Field(0, ge=0)
    """At the same time."""
    sessions_a_day: int = Field(0, ge=0)
    """Conversations that are begun, from 00:00 to 24:00 UTC. One that is resumed is not new."""
    minutes_a_day: float = Field(0.0, ge=0)
    """Of all connections together, from 00:00 to 24:00 UTC."""

    @property
    def any(self) -> bool:
        return bool(self.connections or self.sessions_a_day or self.minutes_a_day)


class AccessSettings(Settings):
    """Who may connect. With neither keys nor JWT, everybody who can reach the port."""

    keys_file: str = ""
    """The file that `echo-serve keys` writes. With it, clients need a key."""
    jwt: JwtSettings | None = None
    """With it, clients need a token, or a key if there is a `keys_file`."""
    client_key_secret_variable: str = "ECHO_CLIENT_KEY_SECRET"
    """Name of the environment variable with the secret that signs client keys, at least 32 bytes.
    `make run` makes one up."""
    client_key_s: float = Field(3600.0, ge=1, le=7200)
    """How long a client key is valid, if who asks for it does not say."""
    key_timeout_s: Seconds = 10.0
    """How long a socket may be silent whose handshake had no key, where one is needed. The others
    have `ingress.open_timeout_s`."""
    recheck_s: Seconds = 5.0
    """How often the file of keys is looked at, and each live session's key is checked again."""
    origins: tuple[Origin, ...] = ()
    """Web pages that may connect, besides those of localhost and of the server's own host."""
    trusted_proxies: tuple[Network, ...] = ()
    """Addresses and networks of proxies whose X-Forwarded-For is believed."""
    per_principal: UseLimits = UseLimits()
    """Of one key, or of one `sub` of a JWT."""
    per_address: UseLimits = UseLimits()
    """Of one client address: of IPv6, one /64."""

    @property
    def asks_for_keys(self) -> bool:
        """Whether a client has to show who it is."""
        return bool(self.keys_file) or self.jwt is not None

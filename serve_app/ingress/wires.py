"""Where each protocol is, and how one socket's wire is made."""

from collections.abc import Callable, Mapping
from typing import Final

from serve_app.protocol.echo_wire import EchoWire
from serve_app.protocol.realtime.options import Defaults
from serve_app.protocol.realtime.wire import RealtimeWire
from serve_app.protocol.telephony.wire import TelephonyWire
from serve_app.protocol.wire import Wire
from serve_app.settings.agent import AgentSettings
from serve_app.settings.schema import AppConfig

MakeWire = Callable[[AppConfig, str], Wire]
"""For a session with this id."""


def echo(config: AppConfig, session: str) -> Wire:
    return EchoWire(config.ingress.limits.frames)


def realtime(config: AppConfig, session: str) -> Wire:
    return RealtimeWire(session, defaults(config.agent), config.ingress.limits.frames)


def telephony(config: AppConfig, session: str) -> Wire:
    return TelephonyWire(config.ingress.limits.frames)


def defaults(agent: AgentSettings) -> Defaults:
    """Of resolved settings."""
    tts = agent.tts
    return Defaults(
        voice=tts.voice_id if tts.provider == "elevenlabs" else tts.voice,
        has_voices=tts.provider != "local",
        has_openais_voices=tts.provider in ("openai", "generic"),
        has_tools=agent.may_use_tools,
    )


WIRES: Final[Mapping[str, MakeWire]] = {
    "/conversation": echo,
    "/conversation/websocket": echo,
    "/v1/realtime": realtime,
    "/telephony/media": telephony,
}
"""By the path of the socket."""
PROTOCOLS: Final[Mapping[MakeWire, str]] = {
    echo: "echo",
    realtime: "realtime",
    telephony: "telephony",
}
"""Their names, as records have them."""
FRAMES: Final[Mapping[MakeWire, str]] = {
    echo: "MessagePack in binary frames",
    realtime: "JSON in text frames",
    telephony: "Twilio's JSON in text frames",
}
"""What a client sends."""

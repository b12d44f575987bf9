"""What the sessions of one ingress replica share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from serve_app.ingress.calls import Calls
from serve_app.ingress.voice_activity import VoiceActivityBatcher
from serve_app.protocol.messages import Open
from serve_app.sessions.actors import SessionActors
from serve_app.sessions.leases import Leases
from serve_app.settings.limits import MessageLimits


@dataclass(frozen=True, slots=True)
class Services:
    """They outlive each session."""

    calls: Calls
    batcher: VoiceActivityBatcher
    actors: SessionActors
    leases: Leases
    window_s: float
    """How long after the server has noticed the loss of its socket a client may come back."""
    check: Callable[[Open], Awaitable[Open]]
    """The message as this server understands it. Raises VoiceError if it asks for something that
    this server cannot do."""
    admit: Callable[[], None] = lambda: None
    """To be called for a new session. Raises VoiceError if it is not let in."""
    limits: MessageLimits = field(default_factory=MessageLimits)
    """What each client may send."""

"""What a client's `open` leads to: it is refused, or begins a session, or goes on with one."""

from collections.abc import Callable
from dataclasses import replace

from serve_app.conversation import events as ev
from serve_app.errors import ProtocolViolation
from serve_app.ingress.access import Guest
from serve_app.ingress.client_events import opened
from serve_app.ingress.services import Services
from serve_app.protocol.messages import ErrorNotice, Open
from serve_app.sessions.leases import Lease, session_of

FindPlace = Callable[[], None]
"""Raises VoiceError if the replica has no place for a session."""


def anywhere() -> None:
    """There is always a place."""


class Admission:
    """Of one socket."""

    def __init__(
        self,
        socket: str,
        services: Services,
        guest: Guest,
        tell: Callable[[ErrorNotice], None],
    ) -> None:
        """`socket`: its name, and that of a session that begins there."""
        self._socket = socket
        self._services = services
        self._guest = guest
        self._tell = tell
        self.find_place: FindPlace = anywhere
        self.is_granted = False
        """There is a place for the session, which may still have to be fetched."""

    async def understood(self, message: Open) -> ev.Opened:
        """A new conversation with the options of the message. Raises VoiceError for who may not
        ask, and for what this server cannot do."""
        await self._guest.identify(message.key)
        self._guest.must_be_known()
        return opened(await self._checked(message))

    async def grant(self, message: Open, event: ev.Opened) -> tuple[ev.Opened, Lease | None]:
        """How the conversation begins, or goes on where it was, and the lease of a session to which
        the client may come back. Raises VoiceError. `event`: what was understood."""
        self._take_place(message.resume_token)
        services, tenant = self._services, self._guest.tenant
        if message.resume_token:
            lease = await services.leases.attach(message.resume_token, tenant)
            entry = lease.entry
            return replace(entry.options, record=entry.record, played=event.played), lease
        if message.resume:
            options = replace(event, prompt="", greeting=None)
            return event, Lease.begin(services.actors, self._socket, options, tenant)
        return event, None

    def _take_place(self, resume_token: str) -> None:
        """Raises VoiceError. The limits of the guest come last: who is refused for another reason
        has used nothing of them. They come before the session is taken from its former socket: who
        is refused by them leaves it as it was."""
        self.find_place()
        if not resume_token:
            self._services.admit()
        session = session_of(resume_token) if resume_token else self._socket
        self._guest.begin(session, is_new=not resume_token)
        self.is_granted = True

    async def _checked(self, message: Open) -> Open:
        try:
            return await self._services.check(message)
        except ProtocolViolation as error:
            if "error" in message.events:  # the close frame has room for 123 bytes
                self._tell(ErrorNotice(0, "open", error.reason))
            raise

"""Who may use OpenAI's HTTP API: whoever may open a socket, and from the same web pages."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serve_app.ingress.access import Gate, Guest
from serve_app.ingress.intake import bounded_receive
from serve_app.ingress.rest.refusals import refusal

Handle = Callable[[Request, Guest], Awaitable[Response]]


class Guarded:
    """An ASGI app: what `handle` answers to a guest, or why it does not."""

    def __init__(
        self,
        gate: Gate,
        handle: Handle,
        place: Callable[[Guest], AbstractContextManager[None]] = lambda guest: nullcontext(),
    ) -> None:
        """`place` is what a guest has until the answer was sent. It may raise what `handle` may:
        VoiceError and Refused."""
        self._gate = gate
        self._handle = handle
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        receive = bounded_receive(receive)
        request = Request(scope, receive)
        with ExitStack() as held:
            try:
                guest = self._gate.receive(request)
                await guest.identify()
                guest.must_be_known()
                held.enter_context(self._place(guest))
                response = await self._handle(request, guest)
            except ClientDisconnect:
                return
            except Exception as error:
                response = refusal(error)
            await response(scope, receive, send)

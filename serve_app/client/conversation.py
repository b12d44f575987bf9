"""A conversation in a few lines.

    async with connect("ws://localhost:4000/conversation", prompt="You are Ada.") as conversation:
        await conversation.type("Who are you?")
        async for message in conversation:
            print(message)

Messages are the dataclasses of `serve_app.protocol.messages`. A connection that is lost is replaced
by a new one, and the conversation goes on.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException

from serve_app.client.playback import Loudspeaker
from serve_app.client.session import EchoSession, converse
from serve_app.client.typed import typed
from serve_app.protocol.formats import parse_format
from serve_app.protocol.messages import EVENTS, Samples, ServerMessage

SAMPLE_RATE_HZ = 24_000
"""Of the agent's voice, unless another one is asked for: more than speech needs."""
_KINDS = ("token", "audio", "interrupt", "session", *sorted(EVENTS))
_NORMAL = (None, 1000, 1001)


class ConversationClosed(ConnectionError):
    """The server cannot be reached, or has ended the conversation for another reason than that it
    was over. `code`: the close code, 0 if there was no connection."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason or 'the conversation was closed'} ({self.code})"


class Conversation:
    """One conversation, whatever happens to its sockets. Made by `connect`."""

    def __init__(self, session: EchoSession, recording: bytearray | None = None) -> None:
        self._session = session
        self._recording = recording
        self._microphone: asyncio.Task[None] | None = None

    async def type(self, text: str) -> None:
        """A typed turn. It interrupts the agent as speech does."""
        await self._send({"type": "text", "text": text})

    async def interrupt(self) -> None:
        """Stops the agent although nobody speaks."""
        await self._send({"type": "interrupt"})

    async def send_audio(self, samples: Samples) -> None:
        """What the microphone has delivered: float32, 16 kHz, mono; 30 to 250 ms at a time."""
        await self._send({"type": "audio", "audio": samples.astype("<f4").tobytes()})

    async def say(self, samples: Samples) -> tuple[float, float]:
        """Speaks a recording into a microphone that stays open from now on, in real time. Returns
        when it began and ended (time.monotonic()). Not together with `send_audio`."""
        if self._microphone is None:
            self._microphone = asyncio.create_task(self._session.keep_microphone_open())
            self._session.microphone = self._microphone
        said = asyncio.create_task(self._session.say(samples))
        await asyncio.wait({said, self._session.listener}, return_when=asyncio.FIRST_COMPLETED)
        if not said.done():
            said.cancel()
            raise self._closed()
        return said.result()

    async def __aiter__(self) -> AsyncIterator[ServerMessage]:
        """What the server says, until the conversation is over. Raises ConversationClosed."""
        while True:
            try:
                received = await self._session.next(*_KINDS, timeout_s=None)
            except ConnectionError:
                if self._session.close_code in _NORMAL:
                    return
                raise self._closed() from None
            self._forget()
            if message := typed(received):
                yield message

    def _forget(self) -> None:
        """A conversation may go on for hours."""
        if self._recording is not None:
            self._recording += self._session.playback.heard
        self._session.forget()

    @property
    def playing_s(self) -> float:
        """How long the loudspeaker still has something to play."""
        return max(0.0, self._session.playback.left_s())

    async def _send(self, fields: dict[str, Any]) -> None:
        try:
            await self._session.send(fields)
        except ConnectionClosed:
            raise self._closed() from None

    def _closed(self) -> ConversationClosed:
        return ConversationClosed(self._session.close_code or 0, self._session.close_reason)


@asynccontextmanager
async def connect(
    url: str,
    *,
    prompt: str = "",
    events: Collection[str] = EVENTS,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    loudspeaker: Loudspeaker | None = None,
    recording: bytearray | None = None,
    key: str | None = None,
    **options: Any,
) -> AsyncIterator[Conversation]:
    """A conversation that has begun; the agent speaks first, unless `greeting=False`. It ends on
    the way out.

    `loudspeaker` plays the agent's voice (16-bit pcm, mono, at `sample_rate_hz`) and falls silent
    at once when it is told to. `recording`: what was heard of the voice is added to it, as long as
    messages are taken. `key`: what the server knows this client by; if it is left out, that of the
    environment (ECHO_SERVE_KEY). `options`: the other options of `open`, see docs/protocol.md.

    Raises ConversationClosed if the server cannot be reached or refuses the client.
    """
    voice = parse_format(f"pcm_{sample_rate_hz}")
    try:
        entered = converse(url, voice, resume=True, loudspeaker=loudspeaker, key=key)
        session = await entered.__aenter__()
    except (OSError, TimeoutError, WebSocketException) as error:
        raise ConversationClosed(0, f"no conversation at {url}: {error}") from None
    try:
        session.stop_microphone()
        try:
            await session.open(prompt, events, sample_rate_hz=sample_rate_hz, **options)
        except ConnectionClosed:  # a server that knows the key to be wrong does not wait for it
            raise ConversationClosed(session.close_code or 0, session.close_reason) from None
        yield Conversation(session, recording)
    finally:
        await entered.__aexit__(None, None, None)

"""`multi-stream-input`: replies share open WebSockets, with one context each."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from serve_app.agent.engines import Speech, TtsEngine
from serve_app.agent.tts.elevenlabs.api import Connect, key_variable, websocket_url
from serve_app.agent.tts.elevenlabs.context import ConnectionLost
from serve_app.agent.tts.elevenlabs.sockets import ContextSocket, Limits
from serve_app.agent.tts.speech_progress import Progress, ProviderMessage, next_message
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.errors import EngineTimeout, EngineUnavailable
from serve_app.protocol.formats import AudioFormat
from serve_app.settings.agent import TtsSettings


class MultiContextVoice(TtsEngine):
    """The default (`tts.transport: multi-context`). A reply waits for no handshake, and can be
    cancelled at ElevenLabs while its socket serves others.

    If the connection is lost, the reply goes on over a new one, once, from the last aligned
    character. The SDK (2.78) has the messages, but no client for this.
    """

    def __init__(
        self,
        settings: TtsSettings,
        api_key: str,
        format: AudioFormat,
        limits: Limits | None = None,
    ) -> None:
        """`format` is what ElevenLabs is asked for. Raises ConfigError for a bad address."""
        self.format = format
        self._settings = settings
        self._url(ANY_SOUND)
        self._key = api_key
        self._timeout_s = settings.first_audio_timeout_s
        self._limits = limits or Limits()
        self._sockets: list[ContextSocket] = []
        self._is_closed = False

    def warm_up(self) -> None:
        """Opens a socket for the first reply, which is told if that fails."""
        self.socket(ANY_SOUND)

    async def speak(
        self, clauses: AsyncIterator[str], sound: Sound = ANY_SOUND
    ) -> AsyncGenerator[Speech, None]:
        """See TtsEngine; `sound.voice` is a voice id of ElevenLabs.

        Raises EngineTimeout when text waits `first_audio_timeout_s` for audio, at the start
        or later, EngineUnavailable, or EngineError for a refusal.
        """
        reply = _Reply(self, sound, Progress(self.format))
        feeder = asyncio.create_task(reply.feed(clauses))
        try:
            while not reply.progress.finished:
                if speech := reply.progress.heard(await reply.next(self._timeout_s)):
                    yield speech
        finally:
            feeder.cancel()
            await reply.close()
            await asyncio.gather(feeder, return_exceptions=True)

    async def aclose(self) -> None:
        """Closes all sockets. Replies that still use them fail."""
        self._is_closed = True
        await asyncio.gather(*(socket.aclose() for socket in self._sockets))

    def socket(self, sound: Sound, is_fresh: bool = False) -> ContextSocket:
        """A socket with room for a context; with `is_fresh` a new one. Raises EngineUnavailable."""
        url = self._url(sound)
        if self._is_closed:
            raise EngineUnavailable("tts", "the voice was shut down")
        if not is_fresh:
            for socket in self._sockets:
                if socket.url == url and socket.has_room:
                    return socket
        idle = [socket for socket in self._sockets if socket.is_idle]
        if len(idle) >= self._limits.idle_sockets:
            min(idle, key=lambda socket: socket.used_at).retire()
        connect = Connect(url, self._key, key_variable(self._settings))
        self._sockets.append(ContextSocket(url, connect, self._limits, self._sockets.remove))
        return self._sockets[-1]

    def _url(self, sound: Sound) -> str:
        return websocket_url(self._settings, "multi-stream-input", sound, self.format)


class _Reply:
    """One reply and its context; a second context if the first one's socket is lost."""

    def __init__(self, voice: MultiContextVoice, sound: Sound, progress: Progress) -> None:
        self.progress = progress
        self._voice = voice
        self._sound = sound
        self._socket = voice.socket(sound)
        self._context = self._socket.reserve()
        self._may_reconnect = True
        self._sending = asyncio.Lock()
        """Locked while text is noted and sent, so that none is lost or sent twice."""
        self._failure: Exception | None = None

    async def feed(self, clauses: AsyncIterator[str]) -> None:
        """Sends the text as it is written."""
        try:
            async with self._sending:
                await self._context.begin()
            async for clause in clauses:
                await self.progress.room()
                async with self._sending:
                    self.progress.put(clause)
                    await self._context.say(clause)
            async with self._sending:
                self.progress.end()
                await self._context.finish()
        except Exception as error:  # wakes the receiver, which raises it
            self._failure = error
            self._context.fail(error)

    async def next(self, timeout_s: float) -> ProviderMessage:
        """The next message with audio, or the end of the reply."""
        while True:
            try:
                message = await next_message(self._context.receive, self.progress, timeout_s)
                if not message.is_final or self.progress.has_all_text:
                    return message
                lost: Exception = EngineUnavailable("tts", "ElevenLabs ended the reply early")
            except ConnectionLost as connection:
                if self.progress.is_said:
                    return ProviderMessage(is_final=True)
                lost = connection.error
            except EngineTimeout:
                self._socket.retire()  # whatever the reason, the next reply should not wait for it
                raise
            if not (self._may_reconnect and self.progress.knows_what_is_left):
                raise lost
            await self._reconnect()

    async def close(self) -> None:
        """The reply is over, whether it was said or not."""
        await self._socket.release(self._context)

    async def _reconnect(self) -> None:
        self._may_reconnect = False
        async with self._sending:
            self._socket = self._voice.socket(self._sound, is_fresh=True)
            self._context = self._socket.reserve()
            await self._context.begin()
            await self._context.say(self.progress.restart())
            if self.progress.has_all_text:
                await self._context.finish()
        if self._failure is not None:
            raise self._failure

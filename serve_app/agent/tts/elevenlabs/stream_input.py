"""`stream-input`: each reply has its own WebSocket."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from elevenlabs.types import CloseConnection, InitializeConnection, SendText
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from serve_app.agent.engines import Speech, TtsEngine
from serve_app.agent.tts.elevenlabs.api import (
    Connect,
    closed_by,
    decode,
    engine_errors,
    error_in,
    key_variable,
    read,
    spoken,
    websocket_url,
)
from serve_app.agent.tts.speech_progress import Progress, ProviderMessage, next_message
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.protocol.formats import AudioFormat
from serve_app.settings.agent import TtsSettings


class StreamInputVoice(TtsEngine):
    """One socket per reply, opened before the first clause is written.

    Choose it (`tts.transport: stream-input`) for a compatible server, or a proxy, that has no
    multi-stream-input. Each reply costs a TLS handshake, and nothing is sent again if the
    connection is lost.

    The SDK (2.78) offers realtime synthesis only for blocking code, and looks for audio only
    between two pieces of text. So this is our own client; it sends the SDK's messages.
    """

    def __init__(self, settings: TtsSettings, api_key: str, format: AudioFormat) -> None:
        """`format` is what ElevenLabs is asked for. Raises ConfigError for a bad address."""
        self.format = format
        self._settings = settings
        self._url(ANY_SOUND)
        self._key = api_key
        self._timeout_s = settings.first_audio_timeout_s

    async def speak(
        self, clauses: AsyncIterator[str], sound: Sound = ANY_SOUND
    ) -> AsyncGenerator[Speech, None]:
        """See TtsEngine; `sound.voice` is a voice id of ElevenLabs.

        Raises EngineTimeout when text waits `first_audio_timeout_s` for audio, at the start
        or later, EngineUnavailable, or EngineError for a refusal.
        """
        progress = Progress(self.format)
        connect = Connect(self._url(sound), self._key, key_variable(self._settings))
        with engine_errors(connect.key_variable):
            async with connect as socket:
                sender = asyncio.create_task(_send(clauses, socket, progress))
                try:
                    while not progress.finished:
                        message = await next_message(
                            lambda: _receive(socket, sender, progress, connect.key_variable),
                            progress,
                            self._timeout_s,
                        )
                        if speech := progress.heard(message):
                            yield speech
                finally:
                    sender.cancel()
                    await asyncio.gather(sender, return_exceptions=True)

    async def aclose(self) -> None:
        """There is nothing to release: each reply closes its own socket."""

    def _url(self, sound: Sound) -> str:
        return websocket_url(self._settings, "stream-input", sound, self.format)


async def _receive(
    socket: ClientConnection,
    sender: "asyncio.Task[None]",
    progress: Progress,
    key_variable: str,
) -> ProviderMessage:
    """A normal close after all text ends the reply, as `isFinal` does. Any other is an error."""
    try:
        data = decode(await socket.recv())
    except ConnectionClosed as closed:
        if sender.done() and (failure := sender.exception()):
            raise failure from None
        if closed.rcvd and closed.rcvd.code == 1000 and progress.has_all_text:
            return ProviderMessage(is_final=True)
        raise closed_by(closed, key_variable) from None
    if error := error_in(data, key_variable):
        raise error
    return read(data)


async def _send(clauses: AsyncIterator[str], socket: ClientConnection, progress: Progress) -> None:
    try:
        await socket.send(InitializeConnection().json())
        async for clause in clauses:
            progress.put(clause)
            if text := spoken(clause):
                await socket.send(SendText(text=text).json())
        progress.end()
        await socket.send(CloseConnection().json())
    except ConnectionClosed:
        pass  # the receiver reports it
    except Exception:
        socket.transport.abort()  # wakes the receiver, which raises it
        raise

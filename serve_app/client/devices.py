"""The microphone and the loudspeaker of this machine, by PortAudio (the optional package
sounddevice: `pip install echo-serve[talk]`, and `apt-get install libportaudio2` on Linux).

There is no echo cancellation: use a headset.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from serve_app.client.volume import Volume
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.errors import ConfigError
from serve_app.protocol.messages import Samples

_CHUNK_S = 0.032
_MAX_WAITING = 64
"""Chunks of the microphone, 2 s: older ones are dropped when nobody takes them."""


def sounddevice() -> Any:
    """The package. Raises ConfigError that says how to get it."""
    try:
        import sounddevice  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ConfigError(
            "a microphone needs the package sounddevice: pip install sounddevice; or say "
            "recordings with --wav, or type with --text"
        ) from None
    except OSError:
        raise ConfigError(
            "sounddevice finds no PortAudio: apt-get install libportaudio2; or say recordings "
            "with --wav, or type with --text"
        ) from None
    return sounddevice


class Speakers:
    """A `SoftLoudspeaker`: the default output device."""

    def __init__(self, rate_hz: int) -> None:
        """Raises ConfigError if there is no such device."""
        self._lock = threading.Lock()
        self._waiting = bytearray()
        self._volume = Volume(rate_hz)
        library = sounddevice()
        try:
            self._stream = library.RawOutputStream(
                samplerate=rate_hz, channels=1, dtype="int16", callback=self._fill, latency="low"
            )
            self._stream.start()
        except library.PortAudioError as error:
            raise ConfigError(f"no loudspeaker: {error}; write a file with --out") from None

    def play(self, audio: bytes) -> None:
        with self._lock:
            self._waiting += audio

    def stop(self) -> None:
        with self._lock:
            self._waiting.clear()
            self._volume.reset()

    def duck(self, on: bool) -> None:
        with self._lock:
            self._volume.duck(on)

    def close(self) -> None:
        self._stream.close()

    def _fill(self, output: Any, frames: int, time: Any, status: Any) -> None:
        """In PortAudio's thread."""
        with self._lock:
            audio = bytes(self._waiting[: 2 * frames])
            del self._waiting[: 2 * frames]
            audio = self._volume.apply(audio)
        output[:] = audio.ljust(2 * frames, b"\0")


async def microphone() -> AsyncIterator[Samples]:
    """What the default input device delivers, 32 ms at a time. Raises ConfigError."""
    library, loop = sounddevice(), asyncio.get_running_loop()
    chunks: asyncio.Queue[Samples] = asyncio.Queue(_MAX_WAITING)

    def put(chunk: Samples) -> None:
        if chunks.full():
            chunks.get_nowait()
        chunks.put_nowait(chunk)

    def heard(recorded: Any, frames: int, time: Any, status: Any) -> None:
        """In PortAudio's thread."""
        chunk = np.frombuffer(bytes(recorded), dtype=np.float32)
        loop.call_soon_threadsafe(put, chunk)

    try:
        stream = library.RawInputStream(
            samplerate=SAMPLE_RATE_HZ,
            channels=1,
            dtype="float32",
            blocksize=round(_CHUNK_S * SAMPLE_RATE_HZ),
            callback=heard,
        )
    except library.PortAudioError as error:
        raise ConfigError(f"no microphone: {error}; use --wav or --text") from None
    with stream:
        while True:
            yield await chunks.get()

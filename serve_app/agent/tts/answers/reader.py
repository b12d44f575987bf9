"""A speech server's answer, as the audio that was wanted: unwrapped, decoded or refused."""

from collections.abc import Callable
from email.message import Message
from typing import Protocol

from serve_app.agent.tts.answers.kinds import Kind, kind_of
from serve_app.agent.tts.answers.pcm import EitherOrderStream, PcmStream
from serve_app.agent.tts.answers.wav import WavStream
from serve_app.errors import EngineError, EngineRefused
from serve_app.protocol.formats import AudioFormat

_DECODED: tuple[Kind, ...] = ("mp3", "ogg", "flac", "aiff", "au", "caf")
_SAME = {"mp3": ("mp3", "pcm"), "opus": ("ogg", "pcm")}
"""What an answer may be when it is passed on as it is. Bare Opus packets look like pcm."""
_COMPANDED = ("audio/basic", "audio/pcmu", "audio/pcma", "audio/mulaw", "audio/x-mulaw")
_RATES_HZ = range(4_000, 384_001)


class _Stream(Protocol):
    def push(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class _Unchanged:
    def push(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


class AnswerReader:
    """One answer, piece by piece.

    Pcm and WAV are passed on as they arrive, other files at their end. Where anything but pcm is
    wanted nothing can be converted, and the answer has to be what was asked for.
    """

    def __init__(self, content_type: str, wanted: AudioFormat) -> None:
        """`content_type` is the answer's header; of pcm it may tell rate and byte order."""
        self._type = Message()
        self._type["content-type"] = content_type
        self._wanted = wanted
        self._head = b""
        self._stream: _Stream | None = None
        self._kind = ""

    def push(self, data: bytes) -> bytes:
        """The audio that is ready, in the wanted format. Raises EngineRefused for what cannot be
        played, and EngineError for an error page."""
        if self._stream is None:
            self._head += data
            kind = kind_of(self._head, is_complete=False)
            if kind is None:
                return b""
            data, self._stream = self._head, self._stream_for(kind)
        return self._checked(self._stream.push, data)

    def flush(self) -> bytes:
        """The rest, at the end. Raises as `push` does."""
        ready = b""
        if self._stream is None:
            kind = kind_of(self._head, is_complete=True)
            assert kind is not None, "a whole answer is of some kind"
            self._stream = self._stream_for(kind)
            ready = self._checked(self._stream.push, self._head)
        return ready + self._checked(self._stream.flush)

    def _checked(self, step: Callable[..., bytes], *data: bytes) -> bytes:
        try:
            return step(*data)
        except ValueError as error:
            raise self._refusal(f"{self._kind} ({error})") from None

    def _stream_for(self, kind: Kind) -> _Stream:
        self._kind = kind.upper()
        if kind == "text":
            raise EngineError("tts", "the server's answer is not audio", retryable=True)
        if not self._wanted.is_pcm:
            if kind not in _SAME.get(self._wanted.codec, (kind,)):
                raise self._refusal(self._kind)
            return _Unchanged()
        if kind == "wav":
            return WavStream(self._wanted.rate_hz)
        if kind in _DECODED:
            # Most servers send what is asked for, and need no decoder.
            from serve_app.agent.tts.answers.files import WholeFile

            return WholeFile(self._wanted.rate_hz)
        if kind != "pcm":
            raise self._refusal(self._kind)
        return self._pcm_stream()

    def _pcm_stream(self) -> _Stream:
        name = self._type.get_content_type()
        if name in _COMPANDED:
            raise self._refusal(name)
        rate_hz = self._rate_hz()
        if name == "audio/l16":
            order = str(self._type.get_param("endianness", "")).partition("-")[0]
            known = order if order in ("big", "little") else ""
            return EitherOrderStream(rate_hz, self._wanted.rate_hz, known)
        return PcmStream(rate_hz, self._wanted.rate_hz)

    def _rate_hz(self) -> int:
        told = str(self._type.get_param("rate", ""))
        is_sensible = told.isdecimal() and int(told) in _RATES_HZ
        return int(told) if is_sensible else self._wanted.rate_hz

    def _refusal(self, found: str) -> EngineRefused:
        if self._wanted.is_pcm:
            fix = "set args.agent.tts.response_format to one that it has: wav, mp3, flac or pcm"
        else:
            fix = "set args.agent.tts.output_format to pcm_44100, which any answer is converted to"
        return EngineRefused("tts", f"the speech server sends {found}, which is not played: {fix}")

"""The client of a call in virtual time. It comes back when it loses its socket, and sends again
what the server has not heard."""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
from starlette.websockets import WebSocket

from bench.virtual_ingress import Ingress
from bench.virtual_replicas import BYTES_PER_S, Speech
from serve_app.conversation.settings import FRAME_SAMPLES, SAMPLE_RATE_HZ
from serve_app.ingress.driver import Driver
from serve_app.protocol.close_codes import may_come_back
from serve_app.protocol.messages import EVENTS, TOKEN_BYTES

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ
_RECENT_BYTES = 4 * 15 * SAMPLE_RATE_HZ
_PAUSE_S = 0.5
"""Before a client tries to come back."""


@dataclass
class Heard:
    """What the client was told."""

    state: str = "closed"
    turns: Counter[str] = field(default_factory=Counter)
    """Transcripts, by role."""
    errors: list[str] = field(default_factory=list)
    """The stages of `error` messages."""
    close_codes: list[int] = field(default_factory=list)
    stale_chunks: int = 0
    resumes: int = 0
    gaps: int = 0
    """Resumes at which the server had not heard audio that the client has no longer."""
    numbers_texts: bool = False
    """The server knows typed texts by their numbers, so they can be sent again."""


class Recent:
    """The audio that a client can send again, counted from the first sample of the socket."""

    def __init__(self) -> None:
        self._audio = bytearray()
        self._start = 0

    def add(self, audio: bytes) -> None:
        self._audio += audio
        self._drop(len(self._audio) - _RECENT_BYTES)

    def unheard(self, heard_samples: int) -> tuple[bytes, bool]:
        """What the server has not heard, and whether that is all of it. A new socket begins with
        it."""
        missing = 4 * heard_samples - self._start
        self._drop(missing)
        self._start = 0
        return bytes(self._audio), missing >= 0

    def _drop(self, count: int) -> None:
        count = max(0, min(count, len(self._audio)))
        del self._audio[:count]
        self._start += count


class Client:
    """The user's side. It sends what the user says in chunks, and plays what it hears."""

    def __init__(self, ingress: Ingress, speech: Speech, chunk_frames: int = 4) -> None:
        self.heard = Heard()
        self.trace = ingress.luck.trace
        self.plan: deque[tuple[bool, str | None]] = deque()
        """The frames that the user is about to speak; without them the user is silent."""
        self.is_muted = False
        self.says_when_dry = True
        self.driver: Driver
        self._ingress, self._speech = ingress, speech
        self._chunk_frames = chunk_frames
        self._sockets = 0
        self._sessions: set[asyncio.Task[None]] = set()
        self._resume_token = ""
        self._recent = Recent()
        self._texts: list[str] = []
        """Typed since the last one that was surely taken."""
        self._texts_taken = 0
        self.is_ready = False
        """The socket is open, and the server has said where the audio goes on."""
        self.is_over = False
        """The conversation is: the client does not come back."""
        self._token, self._ends_at_s, self._sent_s = "", 0.0, 0.0
        self._inbox: asyncio.Queue[dict[str, Any]]
        self._microphone = asyncio.create_task(self._speak())

    # --- what the user does ---

    async def open(self, **options: Any) -> None:
        await self._connect(
            {
                "type": "open",
                "prompt": "Be kind.",
                "events": sorted(EVENTS),
                "resume": True,
                **options,
            }
        )

    def type(self, text: str) -> bool:
        """Whether it was sent."""
        if not self.is_ready:
            return False
        self._texts.append(text)
        self._send_text(len(self._texts) - 1)
        return True

    def _send_text(self, at: int) -> None:
        number = self._texts_taken + at + 1
        self._send({"type": "text", "text": self._texts[at], "id": number})

    def press_stop(self) -> None:
        self._send({"type": "interrupt"})

    def lose_socket(self) -> None:
        if self.is_ready:
            self.is_ready = False
            self._sockets += 1  # nothing that is still sent arrives
            self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})
            self._come_back_later()

    def close(self) -> None:
        self.is_over = True
        self._send({"type": "close"})

    async def gone(self) -> None:
        """Returns when nothing of the client is left."""
        self._microphone.cancel()
        self.is_over = True
        await asyncio.gather(*self._sessions, self._microphone, return_exceptions=True)

    # --- the socket ---

    async def _connect(self, fields: dict[str, Any]) -> None:
        self._sockets += 1
        self._inbox = asyncio.Queue()
        number = self._sockets

        async def take(message: Any) -> None:
            if number == self._sockets:
                self._take(message)

        socket = WebSocket({"type": "websocket"}, self._inbox.get, take)  # type: ignore[arg-type]
        self._inbox.put_nowait({"type": "websocket.connect"})
        await socket.accept()
        services, settings = self._ingress.services, self._ingress.settings
        self.driver = Driver(f"socket-{number}", socket, services, settings)
        session = asyncio.create_task(self.driver.run(open_timeout_s=30.0))
        self._sessions.add(session)
        session.add_done_callback(self._sessions.discard)
        self._send(fields)

    def _send(self, fields: dict[str, Any]) -> None:
        self._inbox.put_nowait({"type": "websocket.receive", "bytes": msgpack.packb(fields)})

    def _come_back_later(self) -> None:
        coming = asyncio.create_task(self._come_back())
        self._sessions.add(coming)
        coming.add_done_callback(self._sessions.discard)

    async def _come_back(self) -> None:
        left_s = max(0.0, self._ends_at_s - asyncio.get_running_loop().time())
        played_ms = max(0.0, self._sent_s - left_s) * 1000
        await asyncio.sleep(_PAUSE_S)
        played = {"token": self._token, "played_ms": played_ms}
        await self._connect({"type": "open", "resume_token": self._resume_token, "played": played})

    def _take(self, message: dict[str, Any]) -> None:
        self.trace.note(asyncio.get_running_loop().time(), message)
        if message["type"] == "websocket.close":
            self._inbox.put_nowait({"type": "websocket.disconnect", "code": message["code"]})
            self.heard.close_codes.append(message["code"])
            self.is_ready = False
            if may_come_back(message["code"]) and not self.is_over:
                self._come_back_later()
            else:
                self.is_over = True
        elif message["type"] == "websocket.send":
            self._hear(msgpack.unpackb(message["bytes"]))

    def _hear(self, fields: dict[str, Any]) -> None:
        match fields["type"]:
            case "session":
                self._go_on(fields)
            case "state":
                self.heard.state = fields["state"]
            case "transcript":
                self.heard.turns[fields["role"]] += 1
            case "error":
                self.heard.errors.append(fields["stage"])
            case "token" | "interrupt":
                self._token, self._sent_s = fields["token"], 0.0
                if fields["type"] == "interrupt":
                    self._ends_at_s = 0.0
            case "audio":
                self._play(fields["audio"])

    def _go_on(self, fields: dict[str, Any]) -> None:
        """What the server has not heard is sent again, and what is said from now on follows it."""
        if self._resume_token:
            self.heard.resumes += 1
            self._send_again(fields)
        self._resume_token = fields["resume_token"]
        self.is_ready = True

    def _send_again(self, fields: dict[str, Any]) -> None:
        if "text_id" in fields:
            self.heard.numbers_texts = True
            taken = fields["text_id"] - self._texts_taken
            del self._texts[:taken]
            self._texts_taken += taken
            for at in range(len(self._texts)):
                self._send_text(at)
        again, is_all = self._recent.unheard(fields["heard_samples"])
        self.heard.gaps += not is_all
        if again:
            self._send({"type": "audio", "audio": again})

    # --- loudspeaker and microphone ---

    def _play(self, audio: bytes) -> None:
        if audio[:TOKEN_BYTES].decode() != self._token:
            self.heard.stale_chunks += 1
            return
        loop = asyncio.get_running_loop()
        seconds = (len(audio) - TOKEN_BYTES) / BYTES_PER_S
        self._sent_s += seconds
        self._ends_at_s = max(self._ends_at_s, loop.time()) + seconds
        if self.says_when_dry:
            loop.call_at(self._ends_at_s, self._say_when_dry, self._ends_at_s)

    def _say_when_dry(self, at_s: float) -> None:
        if at_s == self._ends_at_s and self.is_ready:
            self._send({"type": "state", "state": "waiting"})

    async def _speak(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s += self._chunk_frames * FRAME_S
            await asyncio.sleep(due_s - loop.time())
            if self.is_muted or not self._resume_token:
                continue
            spoken = [
                self.plan.popleft() if self.plan else (False, None)
                for _ in range(self._chunk_frames)
            ]
            audio = np.concatenate([self._speech.add(*frame) for frame in spoken]).tobytes()
            self._recent.add(audio)
            if self.is_ready:
                self._send({"type": "audio", "audio": audio})

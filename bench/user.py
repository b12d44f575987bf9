"""The user of a benchmark: plays recordings, listens, and notes what arrived when."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from serve_app.client.playback import Received
from serve_app.client.session import EchoSession
from serve_app.client.speech import trim
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import EVENTS
from tests.speech import clip, transcript, word_error_rate

_PAUSE_S = 0.3
"""The user's pause between the end of a reply and the next words."""
_AGENT_TALKS_S = 0.7
"""From the first audio of a reply to the barge-in."""
_ANSWER_WITHIN_S = 20.0
_SAID_WITHIN_S = 10.0
"""On top of the clip's own length; after that the connection counts as lost."""
_KINDS = ("audio", "error", "metrics", "state", "transcript")


@dataclass(frozen=True, slots=True)
class Parts:
    """The server's own account of a turn, from the last voiced frame to the first audio."""

    endpoint_ms: float
    stt_ms: float
    llm_ms: float
    tts_ms: float

    @property
    def total_ms(self) -> float:
        return self.endpoint_ms + self.stt_ms + self.llm_ms + self.tts_ms


@dataclass(frozen=True, slots=True)
class Turn:
    """What followed one clip."""

    first_audio_ms: float | None
    """End of the clip to the first audio after it, by the client's clock; None without audio."""
    parts: Parts | None
    is_cut_off: bool
    """Whether audio came before the end of the clip."""
    is_split: bool
    """Whether the words were taken for more than one message of the user."""
    error_rate: float
    """Word errors per word of the clip."""
    errors: int
    """`error` messages."""


@dataclass(frozen=True, slots=True)
class BargeIn:
    """Times from the first voiced sample of the user's words."""

    interrupt_ms: float
    last_chunk_ms: float
    """To the last audio of the reply that was interrupted."""


class User:
    """The user of one session. Raises TimeoutError when the connection is lost."""

    def __init__(self, session: EchoSession) -> None:
        self._session = session
        self._silent_since_s = 0.0

    async def open(self, prompt: str) -> None:
        await self._session.open(prompt, EVENTS)

    async def hear_greeting(self) -> None:
        """Waits until the greeting has been played."""
        await self._messages_until_waiting()

    async def turn(self, name: str, pause_s: float = _PAUSE_S) -> Turn:
        """Says a clip after a pause, and hears the answer to its end."""
        await asyncio.sleep(pause_s)
        await self._say(name)
        messages = await self._messages_until_waiting()
        return _turn(name, self._silent_since_s, messages)

    async def barge_in(self, name: str) -> BargeIn | None:
        """Says a clip while the agent talks; None if the agent is not interrupted."""
        await self._hear_agent()
        await asyncio.sleep(_AGENT_TALKS_S)
        token = self._session.playback.token
        start_s = await self._say(name)
        heard = [message for message in self._session.received if message.at_s >= start_s]
        interrupts = [message for message in heard if message.kind == "interrupt"]
        if not interrupts:
            return None
        chunks = [m.at_s for m in heard if m.kind == "audio" and m.token == token]
        last_s = max(chunks, default=start_s)
        return BargeIn((interrupts[0].at_s - start_s) * 1000, (last_s - start_s) * 1000)

    async def _say(self, name: str) -> float:
        """Returns when the first sample was spoken (time.monotonic())."""
        samples = trim(clip(name))
        async with asyncio.timeout(len(samples) / SAMPLE_RATE_HZ + _SAID_WITHIN_S):
            start_s, self._silent_since_s = await self._session.say(samples)
        return start_s

    async def _messages_until_waiting(self) -> list[Received]:
        """What arrived since the last call; less than a whole turn if there is no answer."""
        messages: list[Received] = []
        try:
            while not (messages and self._ends_turn(messages[-1])):
                messages.append(await self._session.next(*_KINDS, timeout_s=_ANSWER_WITHIN_S))
        except TimeoutError:
            pass  # the turn has no answer, and is counted as such
        return messages

    def _ends_turn(self, message: Received) -> bool:
        is_waiting = message.kind == "state" and message.fields["state"] == "waiting"
        return is_waiting and message.at_s > self._silent_since_s

    async def _hear_agent(self) -> None:
        """Waits for the first audio during which the user is silent."""
        while True:
            audio = await self._session.next("audio", timeout_s=_ANSWER_WITHIN_S)
            is_alive = audio.token == self._session.playback.token
            if is_alive and audio.at_s > self._silent_since_s:
                return


def _turn(name: str, end_s: float, messages: Sequence[Received]) -> Turn:
    audio_s = [message.at_s for message in messages if message.kind == "audio"]
    answers_s = [at_s for at_s in audio_s if at_s > end_s]
    metrics = [message.fields for message in messages if message.kind == "metrics"]
    said = [message.fields for message in messages if message.kind == "transcript"]
    texts = [fields["text"] for fields in said if fields["role"] == "user"]
    return Turn(
        first_audio_ms=(answers_s[0] - end_s) * 1000 if answers_s else None,
        parts=_parts(metrics[-1]) if metrics else None,
        is_cut_off=len(answers_s) < len(audio_s),
        is_split=len(texts) > 1,
        error_rate=word_error_rate(transcript(name), " ".join(texts)),
        errors=sum(message.kind == "error" for message in messages),
    )


def _parts(fields: dict[str, float]) -> Parts:
    return Parts(fields["endpoint_ms"], fields["stt_ms"], fields["llm_ms"], fields["tts_ms"])

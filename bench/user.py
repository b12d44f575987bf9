"""The user of a benchmark: plays recordings, listens, and notes what arrived when."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.phrases import Phrase, whole
from serve_app.client.playback import Received
from serve_app.client.session import EchoSession
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import EVENTS, TOKEN_BYTES, Samples
from tests.speech import word_error_rate

_PAUSE_S = 0.3
"""The user's pause between the end of a reply and the next words."""
_AGENT_TALKS_S = 1.6
"""From the first audio of a reply to the barge-in: a user who speaks within a second of that goes
on with the turn, which stops the agent sooner."""
_ANSWER_WITHIN_S = 20.0
_SAID_WITHIN_S = 10.0
"""On top of the clip's own length; after that the connection counts as lost."""
_KINDS = ("audio", "error", "interrupt", "metrics", "state", "transcript")


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
    """What followed one phrase."""

    first_audio_ms: float | None
    """End of the phrase to the first audio of its answer, by the client's clock; None without
    audio after it."""
    parts: Parts | None
    is_spoken_over: bool
    """Whether audio came before the end of the phrase."""
    is_stopped: bool
    """Whether an `interrupt` followed that audio."""
    error_rate: float
    """Word errors per word of the phrase; 0 if what is said in it is not known."""
    errors: int
    """`error` messages."""
    began_s: float = 0.0
    """When its first sample was spoken (time.monotonic())."""


@dataclass(frozen=True, slots=True)
class BargeIn:
    """Times from the first voiced sample of the user's words."""

    interrupt_ms: float
    last_chunk_ms: float
    """To the last audio of the reply that was interrupted."""
    silent_ms: float
    """To the end of what the loudspeaker plays of it."""


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

    async def turn(self, phrase: Phrase, pause_s: float = _PAUSE_S) -> Turn:
        """Says a phrase after a pause, and hears the answer to its end."""
        await self._pause(pause_s)
        start_s = await self._say(phrase.samples)
        messages = await self._messages_until_waiting()
        return turn_of(phrase, start_s, self._silent_since_s, messages)

    async def barge_in(self, name: str) -> BargeIn | None:
        """Says a clip while the agent talks; None if the agent is not interrupted."""
        await self._hear_agent()
        await asyncio.sleep(_AGENT_TALKS_S)
        token = self._session.playback.token
        start_s = await self._say(whole(name).samples)
        heard = [message for message in self._session.received if message.at_s >= start_s]
        interrupts = [message for message in heard if message.kind == "interrupt"]
        if not interrupts:
            return None
        chunks = [m.at_s for m in heard if m.kind == "audio" and m.token == token]
        last_s = max(chunks, default=start_s)
        reply = [m for m in self._session.received if m.kind == "audio" and m.token == token]
        silent_s = silent_at_s(reply, interrupts[0].at_s, self._session.playback.format.seconds)
        return BargeIn(
            interrupt_ms=(interrupts[0].at_s - start_s) * 1000,
            last_chunk_ms=(last_s - start_s) * 1000,
            silent_ms=(silent_s - start_s) * 1000,
        )

    async def _pause(self, seconds: float) -> None:
        """Waits until the agent has been silent for so long. It may have sent everything before
        everything is played, or may begin another reply."""
        while True:
            before = len(self._session.received)
            await asyncio.sleep(max(0.0, self._session.playback.left_s()) + seconds)
            if not any(message.kind == "audio" for message in self._session.received[before:]):
                return
            await self._messages_until_waiting()

    async def _say(self, samples: Samples) -> float:
        """Returns when the first sample was spoken (time.monotonic())."""
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


def silent_at_s(
    reply: Sequence[Received], interrupt_s: float, seconds: Callable[[int], float]
) -> float:
    """When the loudspeaker falls silent: at the interrupt, or before it when its queue ran dry.

    `reply`: all audio of the reply. `seconds`: how long so many bytes play.
    """
    ends_s = 0.0
    for message in reply:
        if message.at_s < interrupt_s:
            ends_s = max(ends_s, message.at_s) + seconds(len(message.fields["audio"]) - TOKEN_BYTES)
    return min(ends_s, interrupt_s)


def turn_of(phrase: Phrase, start_s: float, end_s: float, messages: Sequence[Received]) -> Turn:
    """What followed a phrase that was spoken from `start_s` to `end_s` (time.monotonic())."""
    audio = [m for m in messages if m.kind == "audio" and m.at_s >= start_s]
    early = [m for m in audio if m.at_s <= end_s]
    interrupts_s = [m.at_s for m in messages if m.kind == "interrupt"]
    metrics = [m.fields for m in messages if m.kind == "metrics" and "endpoint_ms" in m.fields]
    said = [m.fields for m in messages if m.kind == "transcript"]
    texts = [fields["text"] for fields in said if fields["role"] == "user"]
    return Turn(
        first_audio_ms=_first_audio_ms(audio[len(early) :], {m.token for m in early}, end_s),
        parts=_parts(metrics[-1]) if metrics else None,
        is_spoken_over=bool(early),
        is_stopped=bool(early) and any(at_s >= early[0].at_s for at_s in interrupts_s),
        error_rate=word_error_rate(phrase.text, " ".join(texts)) if phrase.text else 0.0,
        errors=sum(m.kind == "error" for m in messages),
        began_s=start_s,
    )


def _first_audio_ms(late: Sequence[Received], early: set[str], end_s: float) -> float | None:
    """Of the answer, which is not what began under an early token and was stopped."""
    answer = [m for m in late if m.token not in early] or late
    return (answer[0].at_s - end_s) * 1000 if answer else None


def _parts(fields: dict[str, float]) -> Parts:
    return Parts(fields["endpoint_ms"], fields["stt_ms"], fields["llm_ms"], fields["tts_ms"])

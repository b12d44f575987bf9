"""`echo-serve talk`: a conversation in the terminal, with the microphone, recordings or text."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from serve_app.client.conversation import SAMPLE_RATE_HZ, Conversation, ConversationClosed, connect
from serve_app.client.devices import Speakers, microphone
from serve_app.client.speech import read_wav, trim, write_wav
from serve_app.errors import ConfigError
from serve_app.protocol.codec import SERVER_TYPES
from serve_app.protocol.messages import (
    AgentAudio,
    ErrorNotice,
    Interrupt,
    Metrics,
    Partial,
    Samples,
    ServerMessage,
    SessionNotice,
    StateChanged,
    Token,
    Transcript,
)

Show = Callable[[str, str], None]
"""Takes a line, and its style."""

_ANSWER_S = 60.0
"""For the answer to a recording or a text."""
ANSWERED, UNANSWERED = 0, 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What to say, and how to tell it."""

    url: str
    prompt: str = ""
    greets: bool = True
    wavs: Sequence[Path] = ()
    texts: Sequence[str] = ()
    out: Path | None = None
    as_json: bool = False
    key: str | None = None
    """If it is left out, that of the environment (ECHO_SERVE_KEY)."""

    @property
    def is_live(self) -> bool:
        """With the microphone, until Ctrl-C."""
        return not (self.wavs or self.texts)


async def talk(plan: Plan, show: Show) -> int:
    """The exit status: 0 if each recording and each text was answered, else 1.

    Raises ConfigError for a file that cannot be read and a device that is not there, and
    ConversationClosed.
    """
    said = [_recording(path) for path in plan.wavs]
    recording = bytearray() if plan.out else None
    options: dict[str, Any] = {} if plan.greets else {"greeting": False}
    async with AsyncExitStack() as stack:
        speakers = Speakers(SAMPLE_RATE_HZ) if plan.is_live else None
        if speakers:
            stack.callback(speakers.close)
        opened = connect(
            plan.url,
            prompt=plan.prompt,
            loudspeaker=speakers,
            recording=recording,
            key=plan.key,
            **options,
        )
        conversation = await stack.enter_async_context(opened)
        watch = Watch(show, plan.as_json)
        watching = asyncio.create_task(watch.follow(conversation))
        stack.push_async_callback(_end, watching)
        if plan.is_live:
            await _live(conversation, watching)
            status = ANSWERED
        else:
            status = await _scripted(conversation, watch, watching, said, plan)
    if plan.out and recording is not None:
        write_wav(plan.out, bytes(recording), SAMPLE_RATE_HZ)
    return status


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _live(conversation: Conversation, watching: "asyncio.Task[None]") -> None:
    async def speak() -> None:
        async for chunk in microphone():
            await conversation.send_audio(chunk)

    speaking = asyncio.create_task(speak())
    try:
        done, _ = await asyncio.wait({speaking, watching}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _end(speaking)


async def _scripted(
    conversation: Conversation,
    watch: "Watch",
    watching: "asyncio.Task[None]",
    said: Sequence[Samples],
    plan: Plan,
) -> int:
    if plan.greets:
        await watch.wait_for_answer(watching, count=1)
    turns: list[Samples | str] = [*said, *plan.texts]
    for turn in turns:
        count = watch.answers + 1
        if isinstance(turn, str):
            await conversation.type(turn)
        else:
            await conversation.say(turn)
        if not await watch.wait_for_answer(watching, count):
            return UNANSWERED
    return ANSWERED


def _recording(path: Path) -> Samples:
    try:
        return trim(read_wav(path))
    except (OSError, EOFError, ValueError) as error:
        raise ConfigError(f"{path} cannot be said: {error}") from None
    except Exception as error:  # wave.Error is no OSError
        raise ConfigError(f"{path} is no WAV file: {error}") from None


@dataclass
class Watch:
    """Shows what is said, and knows when an answer is over."""

    show: Show
    as_json: bool
    answers: int = 0
    """Replies that are over."""
    _is_replying: bool = False
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def follow(self, conversation: Conversation) -> None:
        """Until the conversation is over. Raises ConversationClosed."""
        async for message in conversation:
            if self.as_json:
                self._tell_json(message)
            else:
                self._tell(message)
            await self._count(message)

    async def wait_for_answer(self, watching: "asyncio.Task[None]", count: int) -> bool:
        """Whether there are that many answers in time. Raises ConversationClosed."""

        async def counted() -> None:
            async with self._news:
                await self._news.wait_for(lambda: self.answers >= count)

        waiting = asyncio.create_task(counted())
        try:
            await asyncio.wait(
                {waiting, watching}, timeout=_ANSWER_S, return_when=asyncio.FIRST_COMPLETED
            )
            if watching.done():
                watching.result()
            return waiting.done()
        finally:
            await _end(waiting)

    async def _count(self, message: ServerMessage) -> None:
        match message:
            case AgentAudio() if not self._is_replying:
                self._is_replying = True
            case StateChanged("waiting") if self._is_replying:
                self._is_replying = False
                async with self._news:
                    self.answers += 1
                    self._news.notify_all()

    def _tell(self, message: ServerMessage) -> None:
        match message:
            case Partial(_, text):
                self.show(f"  ... {text}", "dim")
            case Transcript(_, "user", text):
                self.show(f"  you    {text}", "bold")
            case Transcript(_, "agent", text):
                self.show(f"  agent  {text}", "cyan")
            case Interrupt():
                self.show("         (interrupted)", "dim")
            case Metrics():
                self.show(f"         {_latency(message)}", "dim")
            case ErrorNotice(_, stage, text):
                self.show(f"  error  {stage}: {text}", "red")

    def _tell_json(self, message: ServerMessage) -> None:
        if isinstance(message, Token | SessionNotice):  # a resume token is a secret
            return
        fields = asdict(message)
        if isinstance(message, AgentAudio):
            fields["audio"] = len(message.audio)
        kind = SERVER_TYPES[type(message)]
        self.show(json.dumps({"type": kind, "at_s": round(time.monotonic(), 3), **fields}), "")


def _latency(metrics: Metrics) -> str:
    parts = {
        "end of turn": metrics.endpoint_ms,
        "transcript": metrics.stt_ms,
        "first clause": metrics.llm_ms,
        "voice": metrics.tts_ms,
    }
    total_ms = sum(parts.values())
    return f"{total_ms:.0f} ms: " + ", ".join(f"{name} {ms:.0f}" for name, ms in parts.items())


def run(plan: Plan, show: Show) -> int:
    """`talk` from a program without a loop."""
    try:
        return asyncio.run(talk(plan, show))
    except ConversationClosed as error:
        show(f"  {error}", "red")
        return UNANSWERED
    except KeyboardInterrupt:
        return ANSWERED

"""The calls of one session. Each is a task that is known by its turn and ends in an event."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from serve_app.agent.parts import Began, Called, ToolUsed
from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.piece import Piece
from serve_app.errors import DraftDeclined, EngineError, EngineTimeout, ReplyRefused
from serve_app.ingress.calls import Calls, ReplyCall
from serve_app.ingress.load import Shed
from serve_app.stt.job import Request, Urgency

log = logging.getLogger(__name__)

_AGAIN_S = 5.0
"""For an agent that was waited for in vain, in the same turn: for a second try, or the apology."""

Key = tuple[type, int, int]
"""The kind of effect, the generation, and the segment or the reply."""


class Work:
    """Carries out the effects that ask a model. `take` is handed the resulting events, `fail` an
    error that nobody has thought of: its event will never come."""

    def __init__(
        self,
        session: str,
        calls: Calls,
        take: Callable[[ev.Event], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._session = session
        self._calls = calls
        self._take = take
        self._fail = fail
        self.tool_used: Callable[[ToolUsed], None] | None = None
        """Where it is noted which tools the agent has used; None where it is not."""
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._waited_in = 0
        """The last turn in which the agent was waited for in vain."""

    def start(
        self, effect: ef.Transcribe | ef.TranscribePart | ef.JudgeTurn | ef.Reply | ef.Say
    ) -> None:
        match effect:
            case ef.TranscribePart(generation, segment):
                key = (ef.TranscribePart, generation, segment)
                self._start(key, self._transcribe_part(effect))
            case ef.Transcribe(generation, segment):
                self._stop((ef.TranscribePart, generation, segment))  # the whole follows
                self._start((ef.Transcribe, generation, segment), self._transcribe(effect))
            case ef.JudgeTurn(generation, segment):
                self._start((ef.JudgeTurn, generation, segment), self._judge(effect))
            case ef.Reply(generation, reply):
                self._start((ef.Reply, generation, reply), self._reply(effect))
            case ef.Say(generation, reply):
                self._start((ef.Say, generation, reply), self._say(effect))

    def cancel(self, effect: ef.CancelSegment | ef.CancelReply | ef.Cancel) -> None:
        match effect:
            case ef.CancelSegment(generation, segment):
                self._stop((ef.Transcribe, generation, segment))
                self._stop((ef.JudgeTurn, generation, segment))
            case ef.CancelReply(generation, reply):
                self._stop((ef.Reply, generation, reply))
                self._stop((ef.Say, generation, reply))
            case ef.Cancel(generation):
                for key in [key for key in self._tasks if key[1] == generation]:
                    self._stop(key)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Those that are still under way."""
        return list(self._tasks.values())

    def _start(self, key: Key, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._ended(key, task))

    def _ended(self, key: Key, task: asyncio.Task[None]) -> None:
        # After a failure, the same key may already have a new task.
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)

    def _stop(self, key: Key) -> None:
        if task := self._tasks.get(key):
            task.cancel()

    async def _transcribe(self, effect: ef.Transcribe) -> None:
        generation, segment = effect.generation, effect.segment
        urgency = Urgency.SPECULATIVE if effect.due_ms else Urgency.FINAL
        request = self._request(effect, urgency, effect.due_ms / 1000)
        try:
            heard = await self._calls.transcribe(request)
            event: ev.Event = ev.Transcribed(generation, segment, heard.text, heard.language)
        except EngineError as error:
            self._log("transcription", error)
            event = ev.TranscriptionFailed(generation, segment, error.message)
        self._take(event)

    async def _transcribe_part(self, effect: ef.TranscribePart) -> None:
        text = ""
        try:
            if not self._calls.sheds(Shed.PARTIALS):
                heard = await self._calls.transcribe(self._request(effect, Urgency.PARTIAL))
                text = heard.text
        except EngineError as error:
            log.debug("session %s: no partial transcript: %s", self._session, error)
        self._take(ev.PartTranscribed(effect.generation, effect.segment, text))

    def _request(
        self, effect: ef.Transcribe | ef.TranscribePart, urgency: Urgency, due_in_s: float = 0.0
    ) -> Request:
        kind = "part" if urgency is Urgency.PARTIAL else "whole"
        key = f"{self._session}/{effect.generation}/{effect.segment}/{kind}"
        return Request(key, effect.samples, effect.language, urgency, due_in_s, effect.hint)

    async def _judge(self, effect: ef.JudgeTurn) -> None:
        complete: float | None = None
        try:
            if not self._calls.sheds(Shed.JUDGEMENTS):
                complete = await self._calls.judge(effect.samples)
        except EngineError as error:
            self._log("the end-of-turn model", error)
        self._take(ev.TurnJudged(effect.generation, effect.segment, complete))

    async def _reply(self, effect: ef.Reply) -> None:
        generation, reply = effect.generation, effect.reply
        if effect.is_draft and (self._calls.is_busy or self._calls.sheds(Shed.DRAFTS)):
            self._take(ev.DraftDeclined(generation, reply))
        else:
            tells = (True,) if self.tool_used else ()
            call = self._calls.reply(
                effect.chat, effect.sound, effect.is_draft, effect.offer, *tells
            )
            await self._deliver(generation, reply, call)

    async def _say(self, effect: ef.Say) -> None:
        call = self._calls.say(effect.text, effect.sound)
        await self._deliver(effect.generation, effect.reply, call)

    async def _deliver(self, generation: int, reply: int, call: ReplyCall) -> None:
        event: ev.Event = ev.ReplyEnded(generation, reply)
        if generation == self._waited_in:
            call.hurry(_AGAIN_S)
        try:
            while (part := await call.next()) is not None:
                if not isinstance(part, ToolUsed):
                    self._take(_event_of(part, generation, reply))
                elif self.tool_used:
                    self.tool_used(part)
        except DraftDeclined:
            event = ev.DraftDeclined(generation, reply)
        except EngineError as error:
            self._log("the reply", error)
            if error.stage == "agent" and isinstance(error, EngineTimeout):
                self._waited_in = generation
            is_refused = isinstance(error, ReplyRefused)
            event = ev.ReplyFailed(generation, reply, error.stage, error.message, is_refused)
        finally:
            call.cancel()
        self._take(event)

    def _log(self, what: str, error: EngineError) -> None:
        log.warning("session %s: %s failed: %s", self._session, what, error)


def _event_of(part: Began | Called | Piece, generation: int, reply: int) -> ev.Event:
    match part:
        case Began():
            return ev.ReplyBegan(generation, reply)
        case Called(steps):
            return ev.ToolsCalled(generation, reply, steps)
        case _:
            return ev.ReplyAudio(generation, reply, part)

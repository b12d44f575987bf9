"""The calls from the ingress to the other deployments."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from ray.serve.handle import DeploymentHandle

from serve_app.agent.parts import Began, ReplyPart, ToolUsed
from serve_app.conversation.calls import NO_OFFER, Offer
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.sound import Sound
from serve_app.errors import AtCapacity, EngineTimeout, EngineUnavailable
from serve_app.ingress.delays import Budget, Delays, Strain, Waits
from serve_app.ingress.handle_calls import ask_within, engine_error, hedged, is_cancelled
from serve_app.ingress.load import Load, Shed
from serve_app.ingress.transcribers import TranscriberPool
from serve_app.protocol.messages import Samples
from serve_app.settings.agent import AgentSettings
from serve_app.settings.limits import DelayBudgets
from serve_app.settings.schema import AppConfig
from serve_app.stt.job import Heard, Request
from serve_app.vad.jobs import VadAnswer, VadJob

_REPLY_SLACK_S = 5.0
"""On top of the engines' own deadlines in the agent replica: their errors say what was late."""
_OUTAGE_S = 30.0
"""The agent replica may be away for this long, and be waited for."""
_LANGUAGES_S = 5.0
"""For a transcriber to say what its model knows, while a client waits for the answer to `open`."""
_RETRY_S = 0.25
"""Between two calls, the first of which failed."""


class Calls:
    """The three deployments behind the ingress."""

    def __init__(
        self,
        config: AppConfig,
        vad: DeploymentHandle[Any],
        stt: DeploymentHandle[Any],
        agent: DeploymentHandle[Any],
        load: Load,
    ) -> None:
        """`load` says what is left out."""
        self._vad = vad
        self._load = load
        self._delays = _delays(config.ingress.delays)
        self._stt = stt
        self._transcribers = TranscriberPool(config.stt, stt.transcribe.remote)
        self._agent = agent.options(stream=True)
        self._replies: set[ReplyCall] = set()
        self._busy_from = config.agent.draft_replies * config.agent.replicas
        self._vad_timeout_s = config.vad.timeout_s
        self._vad_hedge_s = config.vad.hedge_s if config.vad.replicas > 1 else None
        longest_s = max(_longest_silence_s(config.agent), _OUTAGE_S)
        self._part_timeout_s = longest_s + _REPLY_SLACK_S

    async def detect(self, jobs: list[VadJob]) -> list[VadAnswer]:
        """Voice activity of a batch. A call has no state, so a second replica may be asked as well.
        Raises EngineError."""

        async def detect() -> list[VadAnswer]:
            return await ask_within(
                "vad", self._vad_timeout_s, lambda: self._vad.detect.remote(jobs)
            )

        return await hedged(detect, self._vad_hedge_s)

    async def judge(self, samples: Samples) -> float | None:
        """Probability that a turn is complete, from its last 8 s; None without a model. Raises
        EngineError.

        `samples`: float32 mono at 16 kHz, shape (n,)."""
        return await ask_within("vad", self._vad_timeout_s, lambda: self._vad.judge.remote(samples))

    async def transcribe(self, request: Request) -> Heard:
        """What one segment says. Raises EngineError."""
        if not request.urgency.is_of_a_turn:
            return await self._transcribers.transcribe(request)
        waits, who = self._delays.transcripts, object()
        waits.begin(who, _now_s() + request.due_in_s)
        try:
            heard = await self._transcribers.transcribe(request)
            waits.end(who, _now_s())
            return heard
        finally:
            waits.drop(who)

    async def languages(self) -> list[str]:
        """The codes of the languages that the transcribers' model knows. Raises EngineError."""
        return await ask_within("stt", _LANGUAGES_S, lambda: self._stt.languages.remote())

    @property
    def is_busy(self) -> bool:
        """Whether so many replies are under way that no draft should be begun."""
        return len(self._replies) >= self._busy_from

    def sheds(self, what: Shed) -> bool:
        """Whether this is left out now, because this replica does not keep up, or answers take too
        long."""
        is_strained = what <= Shed.DRAFTS and self._delays.strain(_now_s()) > Strain.NONE
        return self._load.sheds(what, is_strained)

    @property
    def is_at_ease(self) -> bool:
        """Whether there is time for what no conversation waits for."""
        now_s = _now_s()
        return self._load.level is Shed.NOTHING and self._delays.strain(now_s) is Strain.NONE

    def admit(self) -> None:
        """To be called for a new session. Raises AtCapacity if answers take too long for one
        more."""
        if self._delays.strain(_now_s()) is Strain.NO_NEW_SESSIONS:
            raise AtCapacity(self._delays.hint(_now_s()))

    def reply(
        self,
        chat: Sequence[ChatMessage],
        sound: Sound,
        is_draft: bool,
        offer: Offer = NO_OFFER,
        tells_tools: bool = False,
    ) -> "ReplyCall":
        """Asks the agent for an answer. `tells_tools`: whether there are parts that say which tools
        it has used."""
        waits = None if is_draft else self._delays.first_audio
        # An agent of an older version, during a rolling update, knows nothing of these.
        more = (offer, True) if tells_tools else (offer,) if offer.tools else ()
        return self._reply_call(
            lambda: self._agent.reply.remote(list(chat), sound, is_draft, *more), waits
        )

    def say(self, text: str, sound: Sound) -> "ReplyCall":
        """Asks the agent to say this."""
        return self._reply_call(lambda: self._agent.say.remote(text, sound))

    def _reply_call(self, ask: Callable[[], Any], waits: Waits | None = None) -> "ReplyCall":
        call = ReplyCall(ask, self._part_timeout_s, self._replies.discard, waits)
        self._replies.add(call)
        return call


class ReplyCall:
    """One reply that the agent is making. Has to be cancelled in the end, however it ends."""

    def __init__(
        self,
        ask: Callable[[], Any],
        timeout_s: float,
        on_end: Callable[["ReplyCall"], None],
        waits: Waits | None = None,
    ) -> None:
        """`ask` makes a call, which streams the parts; `on_end` is told when this is cancelled.
        `waits`: where it counts how long the first audio takes."""
        self._ask = ask
        self._response = ask()
        self._timeout_s = timeout_s
        self._on_end = on_end
        self._waits = waits or Waits()
        self._waits.begin(self, _now_s())
        self._has_begun = False

    def hurry(self, timeout_s: float) -> None:
        """No part is waited for longer than this."""
        self._timeout_s = min(self._timeout_s, timeout_s)

    async def next(self) -> ReplyPart | None:
        """The next part; None after the last. Raises EngineError, and DraftDeclined for a draft
        that would need a tool. Before the first part, an agent that is away is waited for."""
        try:
            async with asyncio.timeout(self._timeout_s):
                part = await self._next()
            if not isinstance(part, Began | ToolUsed):
                self._waits.end(self, _now_s())
            return part
        except TimeoutError:
            raise EngineTimeout("agent", "the reply stopped coming") from None

    async def _next(self) -> ReplyPart | None:
        while True:
            try:
                part = await self._received()
                self._has_begun = True
                return part
            except EngineUnavailable as error:
                if self._has_begun or error.stage != "agent":
                    raise
            self._response.cancel()
            await asyncio.sleep(_RETRY_S)
            self._response = self._ask()

    async def _received(self) -> ReplyPart | None:
        try:
            part: ReplyPart = await anext(self._response)
            return part
        except StopAsyncIteration:
            return None
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            raise EngineUnavailable("agent", "the call was cancelled") from None
        except Exception as error:
            raise engine_error("agent", error) from error

    def cancel(self) -> None:
        """Stops the agent's work on it, if there is any left."""
        self._waits.drop(self)
        self._on_end(self)
        self._response.cancel()


def _delays(budgets: DelayBudgets) -> Delays:
    return Delays(
        Budget(budgets.transcript_busy_s, budgets.transcript_full_s),
        Budget(budgets.first_audio_busy_s, budgets.first_audio_full_s),
    )


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _longest_silence_s(agent: AgentSettings) -> float:
    """Of the engines. A reply that uses tools asks the chat model several times, and each time the
    whole chain of models may be asked."""
    steps = agent.tool_use.max_steps if agent.uses_tools else 0
    text_s = sum(llm.longest_silence_s for llm in agent.llms)
    audio_s = sum(voice.first_audio_timeout_s for voice in agent.voices)
    return steps * (text_s + agent.tool_use.timeout_s) + text_s + audio_s

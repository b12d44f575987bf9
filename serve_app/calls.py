"""Calls from the ingress to the other deployments: deadlines, one retry, one kind of error."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, TypeVar

from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from serve_app.config import AppConfig
from serve_app.conversation.history import Message
from serve_app.engines.silero import VadAnswer, VadJob
from serve_app.errors import EngineError, EngineTimeout, EngineUnavailable
from serve_app.protocol.messages import Samples
from serve_app.reply import ReplyPart

T = TypeVar("T")

_REPLY_SLACK_S = 5.0
"""On top of the engines' own deadlines in the agent replica, which say what was late."""


class Calls:
    """The three deployments behind the ingress."""

    def __init__(
        self,
        config: AppConfig,
        vad: DeploymentHandle[Any],
        stt: DeploymentHandle[Any],
        agent: DeploymentHandle[Any],
    ) -> None:
        llm, tts = config.agent.llm, config.agent.tts
        self._vad = vad
        self._stt = stt
        self._agent = agent.options(stream=True)
        self._replies = 0
        self._busy_from = config.agent.draft_replies * config.agent.replicas
        self._vad_timeout_s = config.vad.timeout_s
        self._stt_timeout_s = config.stt.timeout_s
        self._part_timeout_s = (
            llm.first_token_timeout_s + tts.first_audio_timeout_s + _REPLY_SLACK_S
        )

    async def detect(self, jobs: list[VadJob]) -> list[VadAnswer]:
        """Voice activity of a batch. Stateless, so a second replica may be asked."""
        return await _with_retry("vad", self._vad_timeout_s, lambda: self._vad.detect.remote(jobs))

    async def judge(self, samples: Samples) -> float | None:
        """Probability that a turn is complete, by its last 8 s; None where no model is set."""
        return await _with_retry(
            "vad", self._vad_timeout_s, lambda: self._vad.judge.remote(samples)
        )

    async def transcribe(self, samples: Samples, language: str) -> str:
        """Text of one segment, at most 30 s. The samples stay here until the text is."""
        return await _with_retry(
            "stt", self._stt_timeout_s, lambda: self._stt.transcribe.remote(samples, language)
        )

    @property
    def is_busy(self) -> bool:
        """Whether this ingress has so many replies going that none is begun on suspicion."""
        return self._replies >= self._busy_from

    def reply(self, chat: Sequence[Message], voice: str) -> AsyncGenerator[ReplyPart, None]:
        """The agent's answer. Closing the generator cancels it over there."""
        return self._stream(lambda: self._agent.reply.remote(list(chat), voice))

    def say(self, text: str, voice: str) -> AsyncGenerator[ReplyPart, None]:
        """A text as speech."""
        return self._stream(lambda: self._agent.say.remote(text, voice))

    async def _stream(self, call: Callable[[], Any]) -> AsyncGenerator[ReplyPart, None]:
        """One streaming call a reply. Raises EngineError."""
        response = call()
        self._replies += 1
        try:
            while True:
                async with asyncio.timeout(self._part_timeout_s):
                    part = await anext(response)
                yield part
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise EngineTimeout("agent", "the reply stopped coming") from None
        except (RayError, RayServeException) as error:
            raise _engine_error("agent", error) from error
        finally:
            self._replies -= 1
            response.cancel()


async def _with_retry(stage: str, timeout_s: float, call: Callable[[], Any]) -> T:
    """Both tries share the deadline. Raises EngineError."""
    try:
        async with asyncio.timeout(timeout_s):
            try:
                answer: T = await _cancelling(stage, call())
            except (RayActorError, EngineUnavailable):
                # Serve retries only until a replica has accepted; dying with it is ours.
                answer = await _cancelling(stage, call())
            return answer
    except TimeoutError:
        raise EngineTimeout(stage, f"no answer within {timeout_s:g} s") from None
    except (RayError, RayServeException) as error:
        raise _engine_error(stage, error) from error


async def _cancelling(stage: str, response: Any) -> Any:
    """Cancels the call with its caller. A call that Serve cancelled by itself, as it does with
    those of a request that ended, must not look like that: it would end the caller's task."""
    try:
        return await response
    except asyncio.CancelledError:
        caller = asyncio.current_task()
        if caller is not None and not caller.cancelling():
            raise EngineUnavailable(stage, "the call was cancelled") from None
        response.cancel()
        raise


def _engine_error(stage: str, error: Exception) -> EngineError:
    """Ray wraps what a replica raised; provider and user text stay out of the message."""
    cause = getattr(error, "cause", error)
    if isinstance(cause, EngineError):
        return cause
    if isinstance(error, RayActorError | BackPressureError):
        return EngineUnavailable(stage, type(error).__name__)
    return EngineError(stage, type(cause).__name__)

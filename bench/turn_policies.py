"""Policies for ending a turn, as `bench/turns.py` compares them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from serve_app.conversation.patience import Patience
from serve_app.conversation.settings import TurnSettings


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence after speech."""

    start: int
    """Its first frame."""
    length_ms: int
    """Until speech goes on, or the recording ends."""
    complete: Mapping[int, float]
    """By the silence heard when the model was asked, in ms: its probability, 0 to 1, that the
    turn is complete."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A recorded turn."""

    name: str
    pauses: tuple[Silence, ...]
    """The silences after which the speaker went on."""
    end: Silence | None
    """The silence after the turn; None if the speaker had not finished."""
    end_lag_ms: float
    """From the end of speech by its level to the end by voice activity; may be negative."""

    @property
    def silences(self) -> tuple[Silence, ...]:
        """The pauses, and the end if there is one."""
        return self.pauses if self.end is None else (*self.pauses, self.end)


class Policy(Protocol):
    """When to end a turn."""

    def waits_ms(self, turn: Turn) -> list[float]:
        """How long each of `turn.silences` has to be to end the turn."""
        ...


@dataclass(frozen=True, slots=True)
class SilenceOnly:
    """Silence decides, without a model."""

    silence_ms: int

    def waits_ms(self, turn: Turn) -> list[float]:
        return [self.silence_ms for _ in turn.silences]

    def __str__(self) -> str:
        return f"silence {self.silence_ms}"


@dataclass(frozen=True, slots=True)
class Model:
    """The model chooses between two lengths of silence."""

    judge_silence_ms: int
    threshold: float
    end_silence_ms: int
    timeout_ms: int

    def waits_ms(self, turn: Turn) -> list[float]:
        return [self._wait_ms(silence) for silence in turn.silences]

    def _wait_ms(self, silence: Silence) -> float:
        # A silence that ended before the model was asked is shorter than either length.
        complete = silence.complete.get(self.judge_silence_ms, 0.0)
        return self.end_silence_ms if complete >= self.threshold else self.timeout_ms

    def __str__(self) -> str:
        return (
            f"ask {self.judge_silence_ms}, complete from {self.threshold:g}: {self.end_silence_ms},"
            f" else {self.timeout_ms}"
        )


@dataclass(frozen=True, slots=True)
class Server:
    """The server's own policy. Each turn begins with a speaker whom it does not know yet."""

    settings: TurnSettings

    def waits_ms(self, turn: Turn) -> list[float]:
        patience, waits = Patience(self.settings), []
        for silence in turn.silences:
            waits.append(
                patience.silence_ms(silence.complete.get(self.settings.judge_silence_ms, 0.0))
            )
            patience.note(silence.length_ms)
        return waits

    def __str__(self) -> str:
        settings = self.settings
        return (
            f"ask {settings.judge_silence_ms}, complete from {settings.complete_threshold:g}:"
            f" {settings.end_silence_ms}, else by the speaker's pauses up to"
            f" {settings.max_silence_ms}"
        )

"""Policies for ending a turn, as `bench/turns.py` compares them."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bench.turn_rows import ASKED_MS, Silence, Turn
from serve_app.conversation.end_of_turn import EndOfTurn
from serve_app.conversation.endings import Ending, ending
from serve_app.conversation.settings import FRAME_MS, TurnSettings
from serve_app.conversation.turn import Turn as Heard

_NO_SAMPLES = np.zeros(0, dtype=np.float32)
_TRANSCRIBED_MS = 192
"""Silence after which the transcript is there: it is asked for after 64 ms, and takes 130 for an
utterance of 4 s."""


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
    """The end-of-turn model, asked once, chooses between two lengths of silence."""

    ask_ms: int
    threshold: float
    end_ms: int
    timeout_ms: int

    def waits_ms(self, turn: Turn) -> list[float]:
        return [self._wait_ms(silence) for silence in turn.silences]

    def _wait_ms(self, silence: Silence) -> float:
        # A silence that ended before the model was asked is shorter than either length.
        complete = silence.complete.get(self.ask_ms, 0.0)
        return max(self.ask_ms, self.end_ms) if complete >= self.threshold else self.timeout_ms

    def __str__(self) -> str:
        return (
            f"ask {self.ask_ms}, complete from {self.threshold:g}: {self.end_ms},"
            f" else {self.timeout_ms}"
        )


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """The model is asked again and again as the silence grows; the first yes ends the turn."""

    first_ms: int
    threshold: float
    timeout_ms: int

    def waits_ms(self, turn: Turn) -> list[float]:
        return [self._wait_ms(silence) for silence in turn.silences]

    def _wait_ms(self, silence: Silence) -> float:
        return _first(silence.complete, self.first_ms, self.threshold, self.timeout_ms)

    def __str__(self) -> str:
        return (
            f"ask from {self.first_ms} on, complete from {self.threshold:g}, else {self.timeout_ms}"
        )


@dataclass(frozen=True, slots=True)
class TextEnding:
    """A transcript that ends as a sentence does is given less silence."""

    end_ms: int
    timeout_ms: int

    def waits_ms(self, turn: Turn) -> list[float]:
        return [
            self.end_ms if _is_sentence(silence) else self.timeout_ms for silence in turn.silences
        ]

    def __str__(self) -> str:
        return f"sentence: {self.end_ms}, else {self.timeout_ms}"


@dataclass(frozen=True, slots=True)
class Together:
    """The model is asked again and again. A sentence that it calls complete ends the turn first,
    then what is only one of the two, and last what is neither."""

    clear_ms: int
    doubtful_ms: int
    threshold: float
    timeout_ms: int

    def waits_ms(self, turn: Turn) -> list[float]:
        return [self._wait_ms(silence) for silence in turn.silences]

    def _wait_ms(self, silence: Silence) -> float:
        said, limit_ms = silence.complete, self.timeout_ms
        if _is_sentence(silence):
            return _first(said, self.clear_ms, self.threshold, min(self.doubtful_ms, limit_ms))
        return _first(said, self.doubtful_ms, self.threshold, limit_ms)

    def __str__(self) -> str:
        return (
            f"sentence and complete from {self.threshold:g}: {self.clear_ms} on, one of both:"
            f" {self.doubtful_ms} on, neither: {self.timeout_ms}"
        )


@dataclass(frozen=True, slots=True)
class Course:
    """What the server does in a silence."""

    end_ms: int
    """How long it has to be to end the turn."""
    drafted_ms: int
    """After so much of it a reply is begun; `end_ms` at the latest."""
    asked_ms: tuple[int, ...]
    """After how much of it the end-of-turn model is asked."""


@dataclass(frozen=True, slots=True)
class Server:
    """The server's own policy, by its own code. Each turn begins with a speaker whom it does not
    know yet. The model's answer comes a frame after the question, the transcript after 192 ms."""

    settings: TurnSettings
    name: str = "the server"

    def waits_ms(self, turn: Turn) -> list[float]:
        return [self.course(silence).end_ms for silence in turn.silences]

    def course(self, silence: Silence) -> Course:
        """What is done in this silence, if it lasts."""
        rules, heard = EndOfTurn(self.settings), Heard(0, 0)
        for pause_ms in silence.earlier_ms:
            rules.went_on_after(pause_ms)
        segment = heard.add_segment(_NO_SAMPLES)
        heard.take_transcript(segment, silence.text)
        waited_ms = drafted_ms = 0
        asked_ms: list[int] = []
        while not rules.is_over(heard, waited_ms, question=""):
            if rules.is_judgement_due(heard, waited_ms):
                heard.asked_ms = waited_ms
                asked_ms.append(waited_ms)
            is_transcribed = waited_ms >= _TRANSCRIBED_MS
            if not drafted_ms and is_transcribed and rules.is_draft_due(heard, waited_ms, ""):
                drafted_ms = waited_ms
            waited_ms += FRAME_MS
            if asked_ms and waited_ms == asked_ms[-1] + FRAME_MS:
                heard.is_judged, heard.complete = True, _answer(silence, asked_ms[-1])
        return Course(waited_ms, drafted_ms or waited_ms, tuple(asked_ms))

    def __str__(self) -> str:
        return self.name


def _answer(silence: Silence, asked_ms: int) -> float:
    """What the model says. Raises ValueError if it was not asked so soon, as in tables that were
    saved before the server did."""
    known = [p for ms, p in silence.complete.items() if ms <= asked_ms]
    if not known:
        raise ValueError(f"no answer of the model after {asked_ms} ms: save the table again")
    return known[-1]


def _is_sentence(silence: Silence) -> bool:
    return ending(silence.text, question="") is Ending.SENTENCE


def _first(
    complete: Mapping[int, float], first_ms: int, threshold: float, timeout_ms: int
) -> float:
    """When the model first says yes."""
    yes = (
        asked_ms
        for asked_ms, probability in complete.items()
        if first_ms <= asked_ms < timeout_ms and probability >= threshold
    )
    return next(yes, timeout_ms)


_THRESHOLDS = (0.3, 0.5, 0.7, 0.85, 0.95)
_TIMEOUTS_MS = (800, 1000, 1300, 1600, 2000, 2500, 3000)


def families() -> Iterator[tuple[str, list[Policy]]]:
    """What is compared: each way to end a turn, with all its settings that are tried."""
    yield "silence", [SilenceOnly(ms) for ms in range(200, 2001, 100)]
    ends = (256, 320, 400, 512, 640, 800)
    yield (
        "text",
        [TextEnding(end, timeout) for end, timeout in itertools.product(ends, _TIMEOUTS_MS)],
    )
    yield (
        "model",
        [
            Model(*knobs)
            for knobs in itertools.product((128, 192, 256), _THRESHOLDS, ends, _TIMEOUTS_MS)
        ],
    )
    first = tuple(ms for ms in ASKED_MS if ms >= 192)
    yield (
        "model, asked again",
        [AskedAgain(*knobs) for knobs in itertools.product(first, _THRESHOLDS, _TIMEOUTS_MS)],
    )
    yield (
        "together",
        [
            Together(*knobs)
            for knobs in itertools.product(first, first, _THRESHOLDS, _TIMEOUTS_MS)
            if knobs[0] < knobs[1]
        ],
    )

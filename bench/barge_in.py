"""`make bench-barge-in`: how soon the loudspeaker is silent when somebody wants the floor, and how
often it falls silent when nobody does.

The conversation itself is driven in virtual time, frame by frame, with the server's Silero, Whisper
and Smart Turn on what a microphone hears. The agent tells a story with the packaged voice, and the
model of a client plays it. The loudspeaker is silent when it has handled `interrupt` or has nothing
left to play, not when the server stops sending.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

from bench.barge_in_agent import ANSWERS, STORY, Agent, Line, voiced
from bench.barge_in_call import Call, Delays, Echo
from bench.barge_in_curves import picture
from bench.barge_in_ears import Ears
from bench.barge_in_figures import Outcome, alarms, loop, outcome, stops
from bench.barge_in_sounds import Sound, microphone, sounds
from bench.barge_in_tables import Point, alarm_lines, case_line, loop_lines, point_lines, stop_lines
from bench.machine import machine
from serve_app.agent.tts.hibari.model import HibariModel
from serve_app.agent.tts.piper.model import PiperModel
from serve_app.conversation.settings import TurnSettings
from serve_app.settings.agent import JOE

OFFSETS_S = (1.5, 2.61)
"""When the sound begins, in seconds of the call: the agent talks from 0.27 on."""
_LONGEST_S = 25.0
_SETTLED_S = 2.0
"""By this time after a sound it is decided what it was, unless the agent is silent."""
_ECHO_S = 60.0
_ECHOES_DB = (-20.0, -30.0)
SWEEP = (
    ("silence_speech_ms", (96, 128, 160, 224, 320)),
    ("interrupt_speech_ms", (320, 416, 640)),
    ("interrupt_words", (2,)),
)
"""One knob at a time; the others are the defaults."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What all calls have in common."""

    ears: Ears
    story: Line
    answers: tuple[Line, ...]
    delays: Delays

    def call(self, sound: Sound, at_s: float, is_noisy: bool, settings: TurnSettings) -> Outcome:
        """The sound is made once, `at_s` into the call."""

        def is_over(call: Call) -> bool:
            is_heard = call.now_s > at_s + sound.seconds + _SETTLED_S
            return is_heard and (call.is_quiet or call.is_talking_again)

        heard = microphone(sound, at_s, _LONGEST_S, is_noisy)
        call = Call(self.ears, self._agent(), heard, settings, self.delays)
        call.run(is_over, _LONGEST_S)
        return outcome(call, sound.kind, sound.name, self.story, at_s)

    def echo(self, gain_db: float, is_noisy: bool, settings: TurnSettings) -> Call:
        """Nobody says anything, and the microphone hears the loudspeaker."""
        heard = microphone(None, 0.0, _ECHO_S, is_noisy)
        agent = self._agent()
        call = Call(self.ears, agent, heard, settings, self.delays, Echo(gain_db))
        return call.run(lambda call: False, _ECHO_S)

    def _agent(self) -> Agent:
        return Agent(self.story, self.answers)


def calls(
    stage: Stage, cases: Sequence[Sound], offsets_s: Sequence[float], settings: TurnSettings
) -> Iterator[Outcome]:
    for sound, at_s, is_noisy in product(cases, offsets_s, (False, True)):
        yield stage.call(sound, at_s, is_noisy, settings)


def main() -> None:
    arguments = _parser().parse_args()
    stage = _stage()
    heard = list(sounds(PiperModel(JOE, threads=1)))
    print(machine(), flush=True)
    offsets_s = OFFSETS_S[: arguments.offsets]
    found = list(calls(stage, heard, offsets_s, TurnSettings()))
    if arguments.verbose:
        print(*map(case_line, found), sep="\n")
    print(*stop_lines(stops(found)), "", *alarm_lines(alarms(found)), "", sep="\n", flush=True)
    loops = [
        loop(stage.echo(gain_db, is_noisy, TurnSettings()), gain_db, is_noisy)
        for gain_db, is_noisy in product(_ECHOES_DB, (False, True))
    ]
    print(*loop_lines(loops), "", sep="\n", flush=True)
    points = [_point("", 0, found)]
    if arguments.sweep:
        points += list(_sweep(stage, heard, offsets_s))
        print(*point_lines(points), "", sep="\n")
    if arguments.picture:
        arguments.picture.write_text(picture(points))
    print(json.dumps({"loops": list(map(asdict, loops)), "points": list(map(asdict, points))}))


def _sweep(stage: Stage, heard: Sequence[Sound], offsets_s: Sequence[float]) -> Iterator[Point]:
    for knob, values in SWEEP:
        for value in values:
            settings = replace(TurnSettings(), **{knob: value})
            yield _point(knob, value, list(calls(stage, heard, offsets_s, settings)))


def _point(knob: str, value: int, found: Sequence[Outcome]) -> Point:
    return Point(knob, value, stops(found)[-1], tuple(alarms(found)))


def _stage() -> Stage:
    hibari = HibariModel()
    answers = tuple(voiced(hibari, answer) for answer in ANSWERS)
    return Stage(Ears(), voiced(hibari, STORY), answers, Delays())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.barge_in", description=__doc__)
    add = parser.add_argument
    add("--offsets", type=int, default=len(OFFSETS_S), help="into the story, for each sound")
    add("--sweep", action="store_true", help="over the knobs")
    add("--picture", type=Path, help="an SVG of the sweep")
    add("--verbose", action="store_true", help="every case")
    return parser


if __name__ == "__main__":
    main()

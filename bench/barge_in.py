"""`make bench-barge-in`: how soon the loudspeaker is silent when somebody wants the floor, and how
often it falls silent when nobody does.

The conversation itself is driven in virtual time, frame by frame, with the server's Silero, Whisper
and Smart Turn on what a microphone hears. The agent tells a story with the packaged voice, and the
model of a client plays it. The loudspeaker is silent when it has handled `interrupt` or has nothing
left to play, not when the server stops sending.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from bench.barge_in_agent import ANSWERS, STORY, Agent, Line, voiced
from bench.barge_in_call import Call, Delays, Echo
from bench.barge_in_ears import Ears
from bench.barge_in_figures import Outcome, alarms, loop, outcome, stops
from bench.barge_in_recordings import fetch
from bench.barge_in_sounds import Sound, microphone, sounds
from bench.machine import machine
from serve_app.agent.tts.hibari.model import HibariModel
from serve_app.agent.tts.piper.model import PiperModel
from serve_app.conversation.settings import TurnSettings
from serve_app.settings.agent import JOE

OFFSETS_S = (1.5, 2.61, 3.33, 4.78, 5.905)
"""When the sound begins, in seconds of the call: the agent talks from 0.27 on."""
_LONGEST_S = 25.0
_SETTLED_S = 2.0
"""By this time after a sound it is decided what it was, unless the agent is silent."""
_ECHO_S = 60.0
_ECHOES_DB = (-20.0, -30.0)
SWEEP = (
    ("interrupt_speech_ms", (128, 192, 256, 320, 416, 512)),
    ("hold_ms", (500, 1000, 1500, 2500)),
    ("interrupt_words", (1, 2, 3)),
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
    stage, heard = (
        _stage(),
        list(sounds(PiperModel(JOE, threads=1), arguments.recordings or fetch())),
    )
    print(machine())
    offsets_s = OFFSETS_S[: arguments.offsets]
    found = list(calls(stage, heard, offsets_s, TurnSettings()))
    if arguments.verbose:
        print(*map(_case, found), sep="\n")
    print(*_tables(found), sep="\n")
    print("\nown echo, nobody speaks, 60 s")
    for gain_db, is_noisy in product(_ECHOES_DB, (False, True)):
        found_loop = loop(stage.echo(gain_db, is_noisy, TurnSettings()), gain_db, is_noisy)
        print(found_loop)
    if arguments.sweep:
        for knob, values in SWEEP:
            for value in values:
                settings = replace(TurnSettings(), **{knob: value})
                point = list(calls(stage, heard, offsets_s[:2], settings))
                print(f"\n{knob} {value}", *_tables(point), sep="\n", flush=True)


def _tables(found: Sequence[Outcome]) -> Iterator[str]:
    row = stops(found)
    yield (
        f"{row.cases} barge-ins: onset to silence p50 {row.silent_p50_ms:.0f}, p95"
        f" {row.silent_p95_ms:.0f} ms; {row.missed} missed, {row.taken_back} taken back"
    )
    yield ""
    yield "                     cases  false stops  stutters   repeated s  skipped s  silence s"
    yield "                                per 100   per 100      (means of all cases)"
    for a in alarms(found):
        yield (
            f"{a.kind:20}{a.cases:6}{a.false_stops:13.0f}{a.stutters:10.0f}{a.repeated_s:13.2f}"
            f"{a.skipped_s:11.2f}{a.pause_s:11.2f}"
        )


def _case(o: Outcome) -> str:
    return (
        f"{o.kind:12} {o.name:22} {'goes on' if o.goes_on else 'stopped':8}"
        f" silent {'-' if o.silent_ms is None else round(o.silent_ms):>5}"
        f" repeated {o.repeated_s:.2f} skipped {o.skipped_s:.2f} pause {o.pause_s:.2f}"
        f" {list(o.turns)}"
    )


def _stage() -> Stage:
    hibari = HibariModel()
    answers = tuple(voiced(hibari, answer) for answer in ANSWERS)
    return Stage(Ears(), voiced(hibari, STORY), answers, Delays())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.barge_in", description=__doc__)
    add = parser.add_argument
    add("--offsets", type=int, default=len(OFFSETS_S), help="into the story, for each sound")
    add("--recordings", type=Path, help="a folder that has them; downloaded by default")
    add("--sweep", action="store_true", help="over the knobs")
    add("--verbose", action="store_true", help="every case")
    return parser


if __name__ == "__main__":
    main()

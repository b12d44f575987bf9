"""What a telephone line costs: the same recordings at 16 kHz, and through mu-law at 8 kHz as
`/telephony/media` hears them.

    python -m bench.telephone

Word errors are those of Whisper on `tests/data/speech`; false cut-offs and delays are those of the
server's presets on the recorded turns of `bench.turns`, by its method. Real models run, without a
server. Prints tables, and one JSON object as the last line.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Final

import numpy as np
import soxr

from bench.machine import machine
from bench.turn_policies import Server
from bench.turn_recordings import Recorded, recorded
from bench.turn_rows import Ears, Turn
from bench.turn_scores import COLUMNS, Score, score
from bench.turns import SERVERS
from serve_app.conversation.settings import SAMPLE_RATE_HZ, TurnSettings
from serve_app.protocol import sound
from serve_app.protocol.messages import Samples
from serve_app.settings.schema import SttSettings
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.transcriber import WhisperEngine
from tests.speech import TRANSCRIPTS, clip, word_errors, words

SHIFTS_MS: Final = tuple(range(0, 160, 20))
"""Silence put before each recording when words are counted: one word more or less is luck."""
Line = Callable[[Samples], Samples]


def through_a_telephone(samples: Samples) -> Samples:
    """What the conversation hears of a caller."""
    at_8_khz = soxr.resample(samples, SAMPLE_RATE_HZ, sound.MU_LAW.rate_hz)
    pcm = (np.clip(at_8_khz, -1.0, 1.0) * 32_767).astype("<i2")
    return sound.Ears(sound.MU_LAW).hear(sound.MU_LAW.encode(pcm.tobytes()))


LINES: Final[dict[str, Line]] = {
    "16 kHz": lambda samples: samples,
    "telephone": through_a_telephone,
}


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m bench.telephone",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    print(machine(), flush=True)
    engine = WhisperEngine(SttSettings(device="cpu", threads=1))
    engine.warm_up()
    errors = {name: _word_errors(engine, line) for name, line in LINES.items()}
    of = len(SHIFTS_MS) * sum(len(words(text)) for text in TRANSCRIPTS.values())
    print(*_word_table(errors, of), sep="\n", flush=True)
    del engine
    turns = _turns()
    scores = {
        set_: {name: _scores([t for t in heard if t.set == set_]) for name, heard in turns.items()}
        for set_ in ("dev", "held_out")
    }
    for set_, lines in scores.items():
        print(*_turn_table(set_, lines), sep="\n")
    turn_figures = {
        set_: {name: [asdict(s) for s in found] for name, found in lines.items()}
        for set_, lines in scores.items()
    }
    print(json.dumps({"machine": machine(), "words": of, "errors": errors, "turns": turn_figures}))


def _word_errors(engine: WhisperEngine, line: Line) -> int:
    """Over all recordings, each begun a little later again and again."""
    errors = 0
    for name, text in TRANSCRIPTS.items():
        for shift_ms in SHIFTS_MS:
            silence = np.zeros(shift_ms * SAMPLE_RATE_HZ // 1000, np.float32)
            heard = line(np.concatenate((silence, clip(name))))
            errors += word_errors(text, engine.transcribe_now([Utterance(heard)])[0])
    return errors


def _word_table(errors: dict[str, int], of: int) -> Iterator[str]:
    yield f"word errors, {of} words"
    for name, count in errors.items():
        yield f"{name:10s} {count:4d}   {count / of:6.2%}"


def _turns() -> dict[str, list[Turn]]:
    """What the models say of each recording, over each line."""
    ears = Ears(TurnSettings())
    clips = list(recorded())
    return {name: [ears.turn(_over(line, clip)) for clip in clips] for name, line in LINES.items()}


def _over(line: Line, recording: Recorded) -> Recorded:
    return replace(recording, samples=line(recording.samples), room=line(recording.room))


def _scores(turns: Sequence[Turn]) -> list[Score]:
    """Of each preset."""
    return [score(Server(settings, name), turns) for name, settings in SERVERS.items()]


def _turn_table(set_: str, lines: dict[str, list[Score]]) -> Iterator[str]:
    yield f"\n{set_:10s} {COLUMNS}"
    for name, scores in lines.items():
        for found in scores:
            yield f"{name:10s} {found} of {found.pauses} pauses"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()

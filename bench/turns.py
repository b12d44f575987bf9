"""`make bench-turns`: how soon a turn can end without cutting its speaker off.

Ways to end a turn are compared by the method of LiveKit's eot-bench
(https://github.com/livekit/eot-bench). Every silence of 200 ms or more inside a turn is a chance to
cut the speaker off, judged on its own with all that was said before it; the last silence is the
true end. A policy is scored by the share of pauses in which it would have ended the turn and by its
delay at true ends. The best settings of each family are chosen on the `dev` recordings and judged
on the `held_out` ones, of other speakers. Real models run on recorded speech, without a server. The
time that they take is not in the delays, as long as it fits between asking and ending.

    python -m bench.turns [--picture] [--save ROWS | --load ROWS] [FOLDER ...]

A FOLDER holds finished turns of your own as 16-bit mono WAV at 16 kHz, which take the place of the
recordings. `--save` writes what the models said, and `--load` scores that again within seconds.
"""

import argparse
import json
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.curves import Panel, draw
from bench.machine import machine
from bench.turn_policies import Policy, Server, families
from bench.turn_recordings import recorded, recorded_in
from bench.turn_rows import Ears, Turn, load, save
from bench.turn_scores import COLUMNS, frontier, operating_points, score
from serve_app.conversation.presets import PRESETS, with_preset
from serve_app.conversation.settings import TurnSettings

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "turns.svg"
SERVERS = {name: TurnSettings(**with_preset({"preset": name})) for name in PRESETS}
"""The server's own policy is scored with each preset; `balanced` is the default."""
TITLES = {"dev": "dev: chosen on", "held_out": "held out: judged on"}


def main() -> None:
    arguments = _parser().parse_args()
    turns = _turns(arguments)
    sets = {
        name: [t for t in turns if t.set == name] for name in dict.fromkeys(t.set for t in turns)
    }
    for name, those in sets.items():
        print(_material(name, those))
    chosen_on, *_ = sets
    best = {name: _best(policies, sets[chosen_on]) for name, policies in families()}
    panels = [_panel(name, those, best) for name, those in sets.items()]
    for family in best:
        print(f"\n{family}\n{chosen_on + ', at most':17} {COLUMNS}")
        for line in _chosen(family, panels):
            print(line)
    print(f"\n{'the server':17} {COLUMNS}")
    for panel in panels:
        for name, point in panel.points.items():
            print(f"{name:17} {point}: {panel.title}")
    for name, settings in SERVERS.items():
        for those in sets:
            print(_requests(name, Server(settings), those, sets[those]))
    if arguments.picture:
        PICTURE.write_text(draw(panels))
    print(json.dumps({panel.title: _summary(panel) for panel in panels}))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.turns", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--picture", action="store_true", help=f"draw {PICTURE.name}")
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument("--save", type=Path, metavar="ROWS", help="write what the models said")
    rows.add_argument("--load", type=Path, metavar="ROWS", help="score that again")
    return parser


def _turns(arguments: argparse.Namespace) -> list[Turn]:
    if arguments.load:
        return load(arguments.load)
    clips = recorded_in(arguments.folders) if arguments.folders else recorded()
    ears = Ears(TurnSettings())
    turns = [ears.turn(clip) for clip in clips]
    judgement_ms = statistics.median(ears.judgements_ms)
    print(f"{machine()}; a judgement on one thread takes {judgement_ms:.0f} ms (p50)")
    if arguments.save:
        save(turns, arguments.save)
    return turns


def _best(policies: Sequence[Policy], turns: Sequence[Turn]) -> list[Policy]:
    """Those that no other one of the family beats in both cut-offs and delay."""
    by_name = {str(policy): policy for policy in policies}
    return [by_name[s.policy] for s in frontier(score(policy, turns) for policy in policies)]


def _panel(name: str, turns: Sequence[Turn], best: Mapping[str, Sequence[Policy]]) -> Panel:
    curves = {
        family: sorted((score(policy, turns) for policy in policies), key=lambda s: s.mean_ms)
        for family, policies in best.items()
    }
    points = {point: score(Server(settings), turns) for point, settings in SERVERS.items()}
    return Panel(f"{TITLES.get(name, name)}, {_counts(turns)}", curves, points)


def _counts(turns: Sequence[Turn]) -> str:
    pauses = sum(len(turn.pauses) for turn in turns)
    ends = sum(turn.end is not None for turn in turns)
    return f"{pauses} pauses, {ends} ends"


def _material(name: str, turns: Sequence[Turn]) -> str:
    speakers = {turn.speaker for turn in turns}
    pauses = [pause.length_ms for turn in turns for pause in turn.pauses]
    return (
        f"{name}: {len(turns)} recorded turns of {len(speakers)} speakers, {_counts(turns)};"
        f" half of the pauses last {statistics.median(pauses):.0f} ms or more"
    )


def _requests(name: str, server: Server, title: str, turns: Sequence[Turn]) -> str:
    """What the pauses cost: questions to the end-of-turn model, and replies begun for nothing."""
    pauses = [pause for turn in turns for pause in turn.pauses]
    courses = [server.course(pause) for pause in pauses]
    drafted = sum(c.drafted_ms <= p.length_ms for c, p in zip(courses, pauses, strict=True))
    asked = sum(
        ms <= p.length_ms for c, p in zip(courses, pauses, strict=True) for ms in c.asked_ms
    )
    return (
        f"{name}, {title}: a reply is begun in {drafted / len(pauses):.0%} of the pauses,"
        f" and the model asked {asked / len(pauses):.2f} times in each"
    )


def _chosen(family: str, panels: Sequence[Panel]) -> Iterator[str]:
    """The best of the first set within each budget, and the same policy on the other sets."""
    first, *others = panels
    for budget, point in operating_points(first.curves[family]).items():
        yield f"{budget:17} {point or 'none'}"
        if point:
            for other in others:
                same = next(s for s in other.curves[family] if s.policy == point.policy)
                yield f"{'  ' + other.title.partition(':')[0]:17} {same}"


def _summary(panel: Panel) -> dict[str, object]:
    return {
        "server": {name: asdict(point) for name, point in panel.points.items()},
        "curves": {
            family: [asdict(point) for point in scores] for family, scores in panel.curves.items()
        },
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()

"""Whether a change of the conversation changed what it does: random conversations, seeded, here and
at another commit, effect by effect.

`python -m bench.same_conversations --against COMMIT --count 10000` prints how many differ, and the
first difference. Both versions run this file and `bench/random_walk.py`.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from bench import random_walk
from bench.random_walk import Walk

ROOT = Path(__file__).parents[1]


def _logs(seeds: range) -> Iterator[str]:
    for seed in seeds:
        yield json.dumps(Walk(seed).run(), default=str)


def _digest(log: str) -> str:
    return hashlib.sha256(log.encode()).hexdigest()[:16]


def _at(commit: str, arguments: list[str]) -> list[str]:
    """What this file prints with another version of the conversation."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", folder, commit], cwd=ROOT, check=True
        )
        try:
            for file in (__file__, random_walk.__file__):
                (Path(folder) / "bench" / Path(file).name).write_bytes(Path(file).read_bytes())
            command = [sys.executable, "-m", f"bench.{Path(__file__).stem}", *arguments]
            printed = subprocess.run(
                command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True
            )
            return printed.stdout.splitlines()
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=ROOT, check=True)


def _first_difference(commit: str, seed: int) -> str:
    before = json.loads(_at(commit, ["--show", str(seed)])[0])
    for number, (old, new) in enumerate(
        zip_longest(before, json.loads(next(_logs(range(seed, seed + 1)))))
    ):
        if old != new:
            return f"step {number}\n  before: {json.dumps(old)}\n  after:  {json.dumps(new)}"
    return "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--against", metavar="COMMIT")
    parser.add_argument("--show", type=int, metavar="SEED")
    parser.add_argument("--differences", type=int, default=3, help="how many to show")
    arguments = parser.parse_args()
    if arguments.show is not None:
        print(next(_logs(range(arguments.show, arguments.show + 1))))
        return
    digests = [_digest(log) for log in _logs(range(arguments.count))]
    if arguments.against is None:
        print("\n".join(digests))
        return
    before = _at(arguments.against, ["--count", str(arguments.count)])
    different = [n for n, (old, new) in enumerate(zip(before, digests, strict=True)) if old != new]
    for seed in different[: arguments.differences]:
        print(f"conversation {seed}: {_first_difference(arguments.against, seed)}")
    print(
        f"{arguments.count} random conversations against {arguments.against}: "
        f"{len(different)} differ"
    )


if __name__ == "__main__":
    main()

"""Random conversations, seeded, through the whole ingress in virtual time, in which every call may
meet a mishap: it fails, is late, hangs until its deadline, is refused, is cancelled by Serve, its
replica dies, or it answers although it was cancelled. Sockets are lost, too.

`python -m bench.random_outages --count 10000` prints what was lost, and which conversations wedged.
"""

import argparse
import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from random import Random

from bench.virtual_call import Client
from bench.virtual_chance import chance_of
from bench.virtual_ingress import Complaints, Ingress
from bench.virtual_luck import STAGES, Luck
from bench.virtual_replicas import Speech
from bench.virtual_time import Wedged, run
from serve_app.conversation.settings import TurnSettings

_STEPS = 14
_SHARES = (0.02, 0.1, 0.3)
"""Of the calls that meet a mishap."""
_REST_WITHIN_S = 200.0
"""From the end of the outages until nobody has the floor. The longest deadline is that of a reply
whose agent hangs, which a second agent writes after that."""
_ONCE_MORE_S = 60.0
_SAVED_S = 20.0
_LOOK_S = 0.2
_CHUNK_FRAMES = (4, 8, 12)
"""In each message of the microphone. Small ones are many, and take most of the CPU."""
_WORD_FRAMES = (6, 12)
_CLEAR_FRAMES = 20


@dataclass
class Outcome:
    """What one conversation came to."""

    seed: int
    trace: str = ""
    """The same for two conversations in which the same happened at the same times."""
    problems: list[str] = field(default_factory=list)
    calls: int = 0
    mishaps: int = 0
    said: int = 0
    """Words and typed texts."""
    reported: int = 0
    """Of these, those that are missing and were reported by an error."""
    resumes: int = 0
    close_codes: Counter[int] = field(default_factory=Counter)


class Conversation:
    """What the user does, at random, and what has to be true afterwards."""

    def __init__(self, seed: int, spared: Collection[str] = ()) -> None:
        self._random = Random(seed)
        self._luck = Luck(self._random, self._random.choice(_SHARES), spared)
        self._speech = Speech()
        self._ingress = Ingress(self._random, self._luck, self._speech, self._settings())
        self._client = Client(
            self._ingress, self._speech, chunk_frames=self._random.choice(_CHUNK_FRAMES)
        )
        self._client.says_when_dry = self._random.random() < 0.8
        self._spoken: list[str] = []
        self._typed: list[str] = []
        self.outcome = Outcome(seed)

    def _settings(self) -> TurnSettings:
        return TurnSettings(
            max_utterance_ms=self._random.choice([2000, 30_000]),
            idle_prompt_ms=self._random.choice([0, 4000]),
            partial_ms=self._random.choice([0, 400, 1000]),
            max_drafts=self._random.choice([0, 3]),
            history_tokens=100_000,
        )

    async def run(self) -> Outcome:
        await self._client.open(greeting=self._random.choice([False, "Hi."]))
        steps = [step for step, weight in self._steps.items() for _ in range(weight)]
        for _ in range(_STEPS):
            await self._random.choice(steps)()
            await asyncio.sleep(self._random.choice([0.0, 0.2, 1.0, 4.0]))
        if self._client.is_over:
            self._complain(f"the session ended: {self._client.heard.close_codes}")
        else:
            await self._calm_down()
            self._judge()
        await self._end()
        self.outcome.calls, self.outcome.mishaps = self._luck.calls, self._luck.mishaps
        self.outcome.trace = str(self._luck.trace)
        self.outcome.resumes = self._client.heard.resumes
        self.outcome.close_codes.update(self._client.heard.close_codes)
        return self.outcome

    # --- what the user does ---

    @property
    def _steps(self) -> dict[Callable[[], Awaitable[None]], int]:
        return {
            self._speak: 8,
            self._say_yeah: 2,
            self._click: 2,
            self._type: 4,
            self._press_stop: 1,
            self._mute: 1,
            self._lose_socket: 1,
        }

    async def _speak(self) -> None:
        """Words, each of which is said only once in the conversation."""
        for _ in range(self._random.randint(1, 8)):
            word = f"word{len(self._spoken)}"
            self._spoken.append(word)
            self._plan_word(word)
            if self._random.random() < 0.15:
                self._client.plan.extend([(False, None)] * self._random.randint(3, 40))
        self._client.plan.extend([(False, None)] * self._random.choice([0, _CLEAR_FRAMES]))
        if self._random.random() < 0.7:
            await self._until_spoken()

    def _plan_word(self, word: str | None) -> None:
        frames = self._random.randint(*_WORD_FRAMES)
        middle = frames // 2
        self._client.plan.extend((True, word if i == middle else None) for i in range(frames))

    async def _until_spoken(self) -> None:
        while self._client.plan and not self._client.is_over:  # noqa: ASYNC110 - it is a clock
            await asyncio.sleep(0.2)

    async def _say_yeah(self) -> None:
        self._plan_word("yeah")

    async def _click(self) -> None:
        self._client.plan.extend([(True, None)] * self._random.randint(1, 3))

    async def _type(self) -> None:
        text = f"text{len(self._typed)}"
        if self._client.type(text):
            self._typed.append(text)

    async def _press_stop(self) -> None:
        self._client.press_stop()

    async def _mute(self) -> None:
        self._client.is_muted = True
        await asyncio.sleep(self._random.uniform(0.5, 5.0))
        self._client.is_muted = False

    async def _lose_socket(self) -> None:
        self._client.lose_socket()

    # --- what has to be true ---

    async def _calm_down(self) -> None:
        """The outages are over, and the user says no more."""
        self._luck.share = 0.0
        if not await self._comes(self._is_at_rest, _REST_WITHIN_S):
            self._complain(f"still {self._client.heard.state} after {_REST_WITHIN_S:.0f} s")
        self._client.is_muted = True
        replies = self._client.heard.turns["agent"]
        await self._type()
        if not await self._comes(
            lambda: self._client.heard.turns["agent"] > replies and self._is_at_rest(), _ONCE_MORE_S
        ):
            self._complain("the last typed text has no answer")
        await asyncio.sleep(_SAVED_S)  # what still waits to be saved has been saved

    def _is_at_rest(self) -> bool:
        client = self._client
        return not client.plan and client.is_ready and client.heard.state == "waiting"

    async def _comes(self, is_true: Callable[[], bool], within_s: float) -> bool:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + within_s
        while not is_true() and loop.time() < until_s:  # noqa: ASYNC110 - it is a clock
            await asyncio.sleep(_LOOK_S)
        return is_true()

    def _judge(self) -> None:
        self._judge_history()
        if self._client.heard.stale_chunks:
            self._complain(f"{self._client.heard.stale_chunks} stale chunks")

    async def _end(self) -> None:
        if not self._client.is_over:
            self._client.close()
        await asyncio.sleep(10.0)
        await self._client.gone()
        if self._ingress.actors.store.entries:
            self._complain("the session is kept after its end")
        await self._ingress.close()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if left:
            self._complain(f"tasks are left: {left}")

    def _judge_history(self) -> None:
        entries = self._ingress.actors.store.entries.values()
        if len(entries) != 1:
            self._complain(f"{len(entries)} sessions are stored")
            return
        history = [m for entry in entries for m in entry.record.history if m.role == "user"]
        counts = Counter(word for message in history for word in message.content.split())
        said = [*self._spoken, *self._typed]
        self.outcome.said = len(said)
        if twice := [word for word in said if counts[word] > 1]:
            self._complain(f"in the history twice: {twice}")
        lost = [text for text in self._typed if not counts[text]]
        if lost and self._may_not_lose_texts:
            self._complain(f"typed and lost: {lost}")
        gaps = [list(gap) for is_there, gap in groupby(self._spoken, lambda w: counts[w] > 0)
                if not is_there]  # fmt: skip
        self.outcome.reported = sum(map(len, gaps))
        reports = self._client.heard.errors.count("stt") + self._client.heard.gaps
        if len(gaps) > reports:
            self._complain(f"{len(gaps)} gaps, {reports} were reported: {gaps}")

    @property
    def _may_not_lose_texts(self) -> bool:
        heard = self._client.heard
        return heard.numbers_texts or not heard.resumes

    def _complain(self, problem: str) -> None:
        self.outcome.problems.append(problem)


def converse(seed: int, spared: Collection[str] = ()) -> Outcome:
    """One conversation. `spared`: the stages whose calls meet no mishap."""
    complaints = Complaints()
    log = logging.getLogger("serve_app")
    log.addHandler(complaints)
    try:
        with chance_of(seed):
            outcome = run(_conversation(seed, spared))
    except Wedged as wedged:
        outcome = Outcome(seed, problems=[f"wedged: {wedged}"])
    finally:
        log.removeHandler(complaints)
    outcome.problems += complaints.found
    return outcome


async def _conversation(seed: int, spared: Collection[str]) -> Outcome:
    return await Conversation(seed, spared).run()


def outcomes(seeds: range, spared: Collection[str] = (), processes: int = 1) -> Iterator[Outcome]:
    """In the order of the seeds."""
    one = partial(converse, spared=spared)
    if processes == 1:
        yield from map(one, seeds)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(one, seeds, chunksize=20)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.random_outages", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="conversations")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--spare", nargs="*", default=[], choices=STAGES, help="no mishaps there")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--trace", action="store_true", help="print what tells two runs apart")
    arguments = parser.parse_args()
    logging.getLogger("serve_app").setLevel(logging.ERROR)
    began_s, total = time.monotonic(), Outcome(-1)
    bad = 0
    seeds = range(arguments.first, arguments.first + arguments.count)
    for outcome in outcomes(seeds, arguments.spare, arguments.processes):
        if arguments.trace:
            print(outcome.seed, outcome.trace)
        if outcome.problems:
            bad += 1
            print(f"conversation {outcome.seed}: {'; '.join(outcome.problems)}", flush=True)
        for name in ("calls", "mishaps", "said", "reported", "resumes"):
            setattr(total, name, getattr(total, name) + getattr(outcome, name))
        total.close_codes += outcome.close_codes
    print(
        f"{arguments.count} conversations in {time.monotonic() - began_s:.0f} s: {bad} bad;"
        f" {total.mishaps} of {total.calls} calls met a mishap; {total.said} words and texts, of"
        f" which {total.reported} are missing and were reported; {total.resumes} resumes;"
        f" close codes {dict(total.close_codes)}"
    )
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())

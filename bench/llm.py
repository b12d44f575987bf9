"""`make bench-llm`: what the packaged chat models know, and how fast they are.

Each model answers 25 short questions with the default prompt. Then its speed is measured on one
thread and on two: the time to the first token of a question whose system prompt is known, and the
tokens a second after that. Each measurement has a process of its own, for its memory.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass

import psutil

from bench.llm_questions import QUESTIONS
from bench.machine import machine
from serve_app.agent.llm.local.llama_cpp import LlamaCpp
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.settings import TurnSettings
from serve_app.models import fetch
from serve_app.models.manifest import MANIFEST
from serve_app.settings.agent import LlmSettings
from serve_app.settings.packaged import LLMS

_PROMPT = ChatMessage("system", TurnSettings().prompt)
_OPENINGS = ("Hello!", "How are you today?", "I would like to know more about the sea.")
"""What a question follows, so that each one is new to the model."""
_SPEED_QUESTIONS = (
    "Tell me about the moon.",
    "Why is the sky blue?",
    "How does a bicycle stay upright?",
    "What is a good way to learn a song?",
    "Why do leaves fall in autumn?",
)
_LONGEST_REPLY = 60
_LATE_S = 120.0


@dataclass(frozen=True, slots=True)
class Speed:
    """Of one model with a number of threads."""

    threads: int
    first_token_ms: float
    """Median."""
    tokens_per_s: float
    """Median of the replies, after their first token."""
    cpu_ms_per_token: float
    """CPU time of the process. It says more than the rate where other work shares the cores."""
    memory_mb: float
    """Resident, with the conversations in its slots."""


@dataclass(frozen=True, slots=True)
class Answers:
    """To the 25 questions."""

    right: int
    wrong: list[str]
    """Each question with its answer."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One model."""

    model: str
    download_mb: float
    answers: Answers
    speeds: list[Speed]


def settings(model: str, threads: int) -> LlmSettings:
    return LlmSettings(
        provider="local",
        model=model,
        device="cpu",
        threads=threads,
        max_new_tokens=_LONGEST_REPLY,
        first_token_timeout_s=_LATE_S,
        next_token_timeout_s=_LATE_S,
    )


async def answers(model: str, threads: int) -> Answers:
    llm, wrong = LlamaCpp(settings(model, threads)), []
    for question in QUESTIONS:
        reply = "".join([text async for text in llm.stream(question.chat(_PROMPT.content))])
        if not question.is_right(reply):
            wrong.append(f"{question.asked} {reply.strip()}")
    await llm.aclose()
    return Answers(len(QUESTIONS) - len(wrong), wrong)


async def speed(model: str, threads: int) -> Speed:
    llm = LlamaCpp(settings(model, threads))
    await _timed(llm, (_PROMPT, ChatMessage("user", "Hello!")))
    firsts, rates, costs = [], [], []
    for opening in _OPENINGS:
        for question in _SPEED_QUESTIONS:
            first_s, rate, cost_s = await _timed(
                llm, (_PROMPT, ChatMessage("user", f"{opening} {question}"))
            )
            firsts.append(first_s)
            rates.append(rate)
            costs.append(cost_s)
    memory = psutil.Process().memory_info().rss
    await llm.aclose()
    return Speed(
        threads,
        round(statistics.median(firsts) * 1000, 1),
        round(statistics.median(rates), 1),
        round(statistics.median(costs) * 1000, 1),
        round(memory / 1e6),
    )


async def _timed(llm: LlamaCpp, chat: Sequence[ChatMessage]) -> tuple[float, float, float]:
    """Time to the first token, tokens a second after it, and CPU time for each of those."""
    asked_s, first_s, cpu_s, count = time.monotonic(), 0.0, 0.0, 0
    async with aclosing(llm.stream(chat)) as pieces:
        async for _ in pieces:
            count += 1
            if count == 1:
                first_s, cpu_s = time.monotonic() - asked_s, time.process_time()
    rest_s = time.monotonic() - asked_s - first_s
    others = max(1, count - 1)
    return first_s, others / rest_s, (time.process_time() - cpu_s) / others


def measured(model: str, threads: Sequence[int]) -> Measured:
    return Measured(
        model,
        round(MANIFEST[model].download_bytes / 1e6),
        Answers(**_in_a_process(model, "answers", threads[-1])),
        [Speed(**_in_a_process(model, "speed", count)) for count in threads],
    )


def _in_a_process(model: str, what: str, threads: int) -> dict[str, object]:
    command = [sys.executable, "-m", "bench.llm", "--only", what, model, str(threads)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(rows: Sequence[Measured]) -> Iterator[str]:
    """The lines to print."""
    yield (
        "model                        download  right  threads  first token  tokens/s"
        "  CPU/token  memory"
    )
    for row in rows:
        for speed in row.speeds:
            yield (
                f"{row.model:<28} {row.download_mb:5.0f} MB  {row.answers.right:>2}/25"
                f"  {speed.threads:>7}  {speed.first_token_ms:8.0f} ms  {speed.tokens_per_s:8.1f}"
                f"  {speed.cpu_ms_per_token:6.0f} ms  {speed.memory_mb:4.0f} MB"
            )
    for row in rows:
        yield ""
        yield f"{row.model} was wrong about:"
        yield from (f"  {wrong}" for wrong in row.answers.wrong)


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.only:
        what, model, threads = arguments.only
        measure = {"answers": answers, "speed": speed}[what]
        print(json.dumps(asdict(asyncio.run(measure(model, int(threads))))))
        return 0
    fetch.fetch_all(arguments.models, print)
    busy = psutil.cpu_percent(interval=1.0)
    print(f"machine   {machine()}, {busy:.0f} % busy with other work\n", flush=True)
    threads = [count for count in (1, 2) if count <= (os.cpu_count() or 1)]
    rows = [measured(model, threads) for model in arguments.models]
    print(*table(rows), sep="\n")
    print(json.dumps([asdict(row) for row in rows]))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.llm", description=__doc__)
    parser.add_argument(
        "models",
        nargs="*",
        default=list(LLMS),
        metavar="MODEL",
        help="(default: all that there are)",
    )
    parser.add_argument("--only", nargs=3, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())

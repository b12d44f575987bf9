"""`make bench-speech`: how soon a reply is heard, and whether its playback runs dry.

The same replies are spoken clause by clause, as the server does it, sentence by sentence, and
clause by clause by Piper's joe. The LLM is a stand-in with a fixed rate of tokens; Speaker and the
voices are the server's own.
"""

import argparse
import asyncio
import json
import statistics
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import asdict, dataclass
from functools import partial

from bench.agent import Quiet
from bench.machine import machine
from serve_app.agent.engines import LlmEngine
from serve_app.agent.factory import build_tts_chain
from serve_app.agent.speaker import Speaker
from serve_app.agent.text.clauses import ClauseLengths, ClauseSplitter, ReplyLengths
from serve_app.agent.tts.chain import TtsChain
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.piece import Piece
from serve_app.protocol.formats import parse_format
from serve_app.settings.agent import JOE, AgentSettings, TtsSettings
from serve_app.settings.base import PACKAGED

REPLIES = {
    "short": "Yes, of course. What time suits you best?",
    "greeting": "Hi there! I'm your assistant for today. How can I help you?",
    "one sentence": "The museum is open from nine in the morning until half past five in the"
    " afternoon on every day of the week except Monday.",
    "commas": "Sure, if you leave the house before eight, take the number 12 tram to the old"
    " market, and change there to the train, you will be at the airport by nine.",
    "no comma": "I would recommend that you call the restaurant before you go there because they"
    " often close early when there are not many guests.",
    "abbreviations": "Dr. Smith will see you at 3 p.m. on Friday. Please bring about $5.50 in"
    " coins, e.g. for the parking meter, which does not take cards or notes.",
    "steps": "Here is how to do it:\n\n1. **Unplug** the router and wait for ten seconds.\n"
    "2. Plug it in again.\n3. Wait until the light is green, which takes two or three minutes.\n\n"
    "Tell me when you are done.",
    "bullets": "You will need a few things:\n\n- two large eggs\n- 200 grams of flour\n"
    "- a pinch of salt\n- half a liter of milk, or water if you like it light",
    "code": "You can do this with one command:\n\n```bash\npip install requests\n```\n\n"
    "Then run `python main.py`, and open [the page](http://localhost:8000/index.html) in a"
    " browser.",
    "story": "Once upon a time, in a small village by the sea, there lived an old man who repaired"
    " clocks. Nobody knew where he had come from or how old he was. Every evening he climbed the"
    " hill behind his house, looked at the stars for a long while, and wrote something into a"
    " small black book.",
    "explanation": "That's a great question! The sky is blue because the air scatters short waves"
    " of light more than long ones, so the blue part of the sunlight reaches us from all"
    " directions. In the evening, the light has a longer way through the air, and red is left.",
    "regret": "I'm sorry, but I could not find a booking under that name. Could you spell it,"
    " or tell me the number in the confirmation that we sent you?",
}
FIRST_TOKEN_S = 0.15
_TOKEN_LETTERS = 4
"""English prose has about four characters per token in the vocabularies of today's models."""
_FORMAT = parse_format("pcm_44100")
_NEVER = 10**9
_SENTENCE = ClauseLengths(comma=_NEVER, phrase=_NEVER, longest=_NEVER)
METHODS: dict[str, tuple[str, Callable[[], ClauseSplitter]]] = {
    "clauses": (PACKAGED, ClauseSplitter),
    "sentences": (PACKAGED, partial(ClauseSplitter, ReplyLengths(_SENTENCE, _SENTENCE, _SENTENCE))),
    "joe": (JOE, ClauseSplitter),
}
"""The voice, and how it gets the text."""


class FixedRate(LlmEngine):
    """An LLM that writes `text` in tokens of equal length."""

    def __init__(self, text: str, tokens_per_s: float) -> None:
        self._text = text
        self._token_s = 1 / tokens_per_s

    async def stream(self, chat: Sequence[ChatMessage]) -> AsyncGenerator[str, None]:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + FIRST_TOKEN_S
        for token in tokens(self._text):
            await asyncio.sleep(due_s - loop.time())
            yield token
            due_s += self._token_s

    async def aclose(self) -> None:
        """There is nothing to release."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One reply as its listener hears it."""

    first_audio_ms: float
    """Since the request to the LLM."""
    dry_ms: float
    """Silence within the reply because the next audio was late."""
    gaps: int
    """How many such silences there were."""
    audio_s: float


@dataclass(frozen=True, slots=True)
class Row:
    """Medians over the runs of one reply."""

    reply: str
    clauses: Heard
    sentences: Heard
    joe: Heard

    @property
    def ratio(self) -> float:
        """Time to the first audio: clauses divided by sentences."""
        return self.clauses.first_audio_ms / self.sentences.first_audio_ms

    @property
    def ratio_to_joe(self) -> float:
        """The same, divided by joe's clauses."""
        return self.clauses.first_audio_ms / self.joe.first_audio_ms


def tokens(text: str) -> Iterator[str]:
    return (text[i : i + _TOKEN_LETTERS] for i in range(0, len(text), _TOKEN_LETTERS))


async def play(speaker: Speaker) -> Heard:
    loop = asyncio.get_running_loop()
    asked_s = loop.time()
    first_s, played_until_s, dry_s, gaps, audio_s = 0.0, 0.0, 0.0, 0, 0.0
    async with aclosing(speaker.reply([])) as parts:
        async for part in parts:
            if not isinstance(part, Piece) or not part.audio:
                continue
            now_s = loop.time() - asked_s
            first_s = first_s or now_s
            if audio_s and now_s > played_until_s:
                dry_s += now_s - played_until_s
                gaps += 1
            played_until_s = max(now_s, played_until_s) + part.duration_s
            audio_s += part.duration_s
    return Heard(first_s * 1000, dry_s * 1000, gaps, audio_s)


async def measure(runs: int, tokens_per_s: float, threads: int) -> list[Row]:
    async with AsyncExitStack() as stack:
        voices: dict[str, TtsChain] = {}
        for voice in (PACKAGED, JOE):
            tts = TtsSettings(provider="local", voice=voice, threads=threads)
            chain = build_tts_chain(AgentSettings(tts=tts), {}, Quiet())
            voices[voice] = await stack.enter_async_context(aclosing(chain))
            chain.warm_up()
        rows = []
        for name, text in REPLIES.items():
            llm = FixedRate(text, tokens_per_s)
            plays: dict[str, list[Heard]] = {method: [] for method in METHODS}
            for _ in range(runs):
                for method, (voice, splitter) in METHODS.items():  # in turns: the machine is shared
                    plays[method].append(await play(Speaker(llm, voices[voice], _FORMAT, splitter)))
            rows.append(Row(name, **{method: median(heard) for method, heard in plays.items()}))
            print(line(rows[-1]), flush=True)
        return rows


def median(plays: Sequence[Heard]) -> Heard:
    return Heard(
        round(statistics.median(play.first_audio_ms for play in plays), 1),
        round(statistics.median(play.dry_ms for play in plays), 1),
        statistics.median_high(play.gaps for play in plays),
        round(statistics.median(play.audio_s for play in plays), 2),
    )


def line(row: Row) -> str:
    def dry(play: Heard) -> str:
        return f"{play.dry_ms:5.0f} ms ({play.gaps})"

    return (
        f"{row.reply:14} {row.clauses.first_audio_ms:8.0f} {row.sentences.first_audio_ms:10.0f}"
        f" {row.ratio:6.2f} {row.joe.first_audio_ms:6.0f} {row.ratio_to_joe:6.2f}"
        f"   {dry(row.clauses):>13} {dry(row.sentences):>13} {dry(row.joe):>13}"
        f" {row.clauses.audio_s:7.1f} s"
    )


def main() -> None:
    arguments = _parser().parse_args()
    print(
        f"{machine()}, joe on {arguments.threads} thread(s); the LLM's first token after"
        f" {FIRST_TOKEN_S * 1000:.0f} ms, then {arguments.tokens_per_s:g} a second; medians of"
        f" {arguments.runs}, in turns\n"
        "                first audio after, ms                        playback dry (gaps)\n"
        "reply           clauses  sentences  ratio    joe  ratio         clauses     sentences"
        "           joe    length"
    )
    rows = asyncio.run(measure(arguments.runs, arguments.tokens_per_s, arguments.threads))
    total = Row("median", *(median([getattr(row, m) for row in rows]) for m in METHODS))
    print(line(total))
    print(
        json.dumps(
            {
                "tokens_per_s": arguments.tokens_per_s, "threads": arguments.threads,
                "runs": arguments.runs, "ratio": round(total.ratio, 2),
                "ratio_to_joe": round(total.ratio_to_joe, 2),
                "replies": [asdict(row) | {"ratio": round(row.ratio, 2)} for row in rows],
            }
        )
    )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.speech", description=__doc__)
    add = parser.add_argument
    add("--runs", type=int, default=3, help="of each reply and method (default 3)")
    add("--tokens-per-s", type=float, default=40, help="of the LLM (default 40)")
    add(
        "--threads",
        type=int,
        default=1,
        help="of joe (default 1, as configs/serve.yaml); hibari has one",
    )
    return parser


if __name__ == "__main__":
    main()

"""`python -m bench.local_tools MODEL ...`: whether packaged chat models call the right tools.

Each is told two sets of 24 sentences, 12 of which need one of three tools, in three ways: within a
short conversation, alone, and alone with the check that what is in a call comes from the words.
Then it holds a conversation of three turns, the first two of which need a tool.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise

from bench.llm import settings
from bench.local_tools_sentences import CHOICE, JUDGEMENT, Sentence, Trial
from serve_app.agent.llm.local.llama_cpp import LlamaCpp
from serve_app.agent.llm.local.offered import Offered
from serve_app.agent.llm.local.prompt import Prompt, alone
from serve_app.agent.llm.tool_calls import ToolCallDelta
from serve_app.agent.tools.python_tool import PythonTool
from serve_app.agent.tools.tool_user import ToolUser
from serve_app.agent.tools.toolbox import Toolbox
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.settings import TurnSettings
from serve_app.settings.agent import ToolUseSettings
from serve_app.settings.packaged import DEFAULT_LLM
from tests.agent.llm.conftest import at_rest

Calls = Sequence[ToolCallDelta]

_TALK = "talk"
"""The name of the conversation, beside those of the two sets."""
_PROMPT = ChatMessage("system", TurnSettings().prompt)
_BEFORE = (
    ChatMessage("user", "Hello, I am Anna."),
    ChatMessage("assistant", "Hello Anna! How can I help you?"),
    ChatMessage("user", "Tell me about the sea."),
    ChatMessage("assistant", "The sea is vast and deep, and full of life."),
)


@dataclass(slots=True)
class Score:
    """Of 12 sentences that need a tool, and 12 that do not."""

    right: int = 0
    """Calls of the right tool with the right arguments."""
    wrong: int = 0
    """Calls of the wrong tool, or with wrong arguments."""
    needless: int = 0
    mistakes: list[str] = field(default_factory=list)

    def count(self, sentence: Sentence, calls: Calls) -> None:
        is_right = bool(calls) and all(_is_right(sentence, call) for call in calls)
        if is_right:
            self.right += 1
        elif calls and sentence.tool:
            self.wrong += 1
        elif calls:
            self.needless += 1
        if not is_right and (calls or sentence.tool):
            asked = ", ".join(f"{call.name}({call.arguments})" for call in calls)
            self.mistakes.append(f"{sentence.said} {asked or '(no call)'}")


def _is_right(sentence: Sentence, call: ToolCallDelta) -> bool:
    given, wanted = json.loads(call.arguments), dict(sentence.arguments)
    same = {name: _plain(given.get(name)) for name in wanted}
    return call.name == sentence.tool and same == {k: _plain(v) for k, v in wanted.items()}


def _plain(value: object) -> str:
    return str(value).casefold().removeprefix("the ")


async def scores(model: str, trial: Trial) -> dict[str, Score]:
    llm = LlamaCpp(settings(model, threads=1))
    found = {"in a conversation": Score(), "alone": Score(), "alone, checked": Score()}
    for sentence in trial.sentences:
        prompt, said = alone([ChatMessage("user", sentence.said)])
        within = await _offered(llm, Prompt((prompt, *_BEFORE, said), trial.tools))
        by_itself = await _offered(llm, Prompt((prompt, said), trial.tools))
        found["in a conversation"].count(sentence, list(within.calls()))
        found["alone"].count(sentence, list(by_itself.calls()))
        found["alone, checked"].count(sentence, list(by_itself.calls(sentence.said)))
    await llm.aclose()
    return found


async def tokens_read(model: str, slots: int) -> list[int]:
    """Of the prompts, in each of three turns."""
    llm = LlamaCpp(settings(model, threads=1).model_copy(update={"parallel_replies": slots}))
    tools = Toolbox([PythonTool(CHOICE.tools[0], _weather)], ToolUseSettings())
    user, chat, read = ToolUser(llm, tools, ToolUseSettings()), [_PROMPT], [0]
    for asked in ("What is the weather in Rome?", "And in Berlin?", "Tell me about the sea."):
        chat.append(ChatMessage("user", asked))
        said = "".join([piece async for piece in user.stream(chat)])
        chat.append(ChatMessage("assistant", said))
        await at_rest(llm)
        read.append(llm.read_tokens)
    await llm.aclose()
    return [after - before for before, after in pairwise(read)]


def _weather(city: str) -> str:
    return f"It is sunny in {city}, 21 degrees."


async def _offered(llm: LlamaCpp, prompt: Prompt) -> Offered:
    offered = Offered(prompt.tools)
    async with aclosing(llm.pieces(prompt)) as pieces:
        async for piece in pieces:
            offered.take(piece)
            if offered.has_said:
                break
    offered.end()
    return offered


def table(model: str, trial: Trial, found: dict[str, Score], shows: bool) -> Iterator[str]:
    """The lines to print."""
    for way, score in found.items():
        yield (
            f"{model:<28} {trial.name:<10} {way:<18} {score.right:>2}/12 right"
            f"  {score.wrong:>2} wrong  {score.needless:>2}/12 needless"
        )
        yield from (f"    {mistake}" for mistake in score.mistakes if shows)


def main() -> int:
    arguments = _parser().parse_args()
    for model in arguments.models:
        for trial in (CHOICE, JUDGEMENT):
            if arguments.only in ("", trial.name):
                found = asyncio.run(scores(model, trial))
                print(*table(model, trial, found, arguments.mistakes), sep="\n", flush=True)
        if arguments.only in ("", _TALK):
            for slots in (4, 1):
                read = asyncio.run(tokens_read(model, slots))
                print(f"{model:<28} {slots} slots: prompt tokens read, by turn {read}", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.local_tools", description=__doc__)
    parser.add_argument("models", nargs="*", default=[DEFAULT_LLM], metavar="MODEL")
    parser.add_argument("--mistakes", action="store_true", help="print them")
    parser.add_argument("--only", choices=(CHOICE.name, JUDGEMENT.name, _TALK), default="")
    return parser


if __name__ == "__main__":
    sys.exit(main())

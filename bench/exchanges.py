"""What a caller said and what came of it, with what the LLM was asked meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.phrases import Phrase
from bench.providers import Asked
from bench.user import Turn


@dataclass(frozen=True, slots=True)
class Exchange:
    """One turn of a caller."""

    phrase: Phrase
    turn: Turn
    requests: int
    """To the LLM, from the first word of this turn to that of the next."""
    messages: int
    """The user's messages that the last of these requests had and the one before this turn did
    not: what the phrase became in the history."""

    @property
    def is_one_message(self) -> bool:
        return self.messages == 1

    @property
    def is_withdrawn(self) -> bool:
        """Whether the agent spoke too early, and took it back without a trace."""
        return self.turn.is_spoken_over and self.turn.is_stopped and self.is_one_message

    @property
    def delay_ms(self) -> float | None:
        """From the end of the phrase to the answer; None where the agent was speaking already."""
        if self.turn.is_spoken_over and not self.is_withdrawn:
            return None
        return self.turn.first_audio_ms


def exchanges(
    said: Sequence[tuple[Phrase, Turn]], asked: Sequence[Asked], prompt: str
) -> list[Exchange]:
    """The turns of one call, in order. `asked`: the requests of all calls, in order."""
    ours = [each for each in asked if each.prompt == prompt]
    begins_s = [turn.began_s for _, turn in said] + [float("inf")]
    before: Sequence[str] = next(
        (each.users for each in reversed(ours) if each.at_s < begins_s[0]), ()
    )
    result = []
    for (phrase, turn), (since_s, until_s) in zip(said, pairwise(begins_s), strict=True):
        meanwhile = [each for each in ours if since_s <= each.at_s < until_s]
        after = meanwhile[-1].users if meanwhile else before
        result.append(Exchange(phrase, turn, len(meanwhile), len(after) - _common(before, after)))
        before = after
    return result


def _common(before: Sequence[str], after: Sequence[str]) -> int:
    """How many messages both begin with."""
    same = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        same += 1
    return same

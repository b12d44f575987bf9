"""The client's tools in the history: a call and its result are always a pair.

    user        What is on the table?
    assistant   Let me look.                and the calls, written down as soon as they are made
    tool        (There is no result yet.)   until the client has sent one, or too late
    assistant   A cup.

Messages are never changed, only replaced: each function returns another chat.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import takewhile
from typing import Final

from serve_app.conversation.calls import Call, Step
from serve_app.conversation.history import PENDING, ChatMessage
from serve_app.conversation.settings import LONGEST_MESSAGE

Chat = tuple[ChatMessage, ...]

TOO_LATE: Final = "Error: no result came in time."
"""May still be replaced by a result."""
_LONGEST_RESULT: Final = 8000
"""Characters, as of the results of the server's own tools by default."""
_CUT: Final = " (cut off here)"
_LEFT_OUT: Final = "(left out)"
_LONGEST_ID: Final = 64


def with_steps(chat: Chat, steps: Iterable[Step]) -> Chat:
    """The agent has asked for these, in rounds of which the client has to answer the last one."""
    for step in steps:
        last = chat[-1]
        if last.role != "assistant" or last.calls:
            chat, last = (*chat, ChatMessage("assistant", "")), ChatMessage("assistant", "")
        results = (
            ChatMessage("tool", PENDING if result is None else result, call_id=call.id)
            for call, result in zip(step.calls, step.results, strict=True)
        )
        chat = (*chat[:-1], replace(last, calls=step.calls), *results)
    return _within_bounds(chat)


def numbered(chat: Chat, steps: Iterable[Step], prefix: str) -> tuple[Step, ...]:
    """The same with ids that are in neither the chat nor each other: some providers give none, and
    some the same ones in each round. `prefix` makes other ones: Mistral wants 9 letters and
    digits."""
    taken = {message.call_id for message in chat}
    found = []
    for step in steps:
        calls = []
        for call in step.calls:
            is_good = 0 < len(call.id) <= _LONGEST_ID and call.id.isprintable()
            id_ = call.id if is_good and call.id not in taken else f"{prefix}{len(taken):03}"
            taken.add(id_)
            calls.append(replace(call, id=id_))
        found.append(replace(step, calls=tuple(calls)))
    return tuple(found)


def pending(chat: Chat) -> tuple[str, ...]:
    """The ids of the calls without a result."""
    return tuple(message.call_id for message in chat if message.is_pending)


def pending_calls(chat: Chat) -> list[Call]:
    """The calls themselves."""
    ids = pending(chat)
    return [call for message in chat for call in message.calls if call.id in ids]


def with_result(chat: Chat, call_id: str, output: str) -> Chat | None:
    """The chat with the result of a call; None if that has one, or is not known any more."""
    for place, message in enumerate(chat):
        is_open = message.is_pending or message.content == TOO_LATE
        if message.role == "tool" and message.call_id == call_id and is_open:
            result = replace(message, content=_fitting(output))
            return _within_bounds((*chat[:place], result, *chat[place + 1 :]))
    return None


def given_up(chat: Chat) -> Chat:
    """What has not come by now is an error to the model."""
    return tuple(replace(m, content=TOO_LATE) if m.is_pending else m for m in chat)


def with_words_before(chat: Chat, call_id: str, words: str) -> Chat:
    """The agent was heard to say this before it asked for a tool."""
    for place, message in enumerate(chat):
        if any(call.id == call_id for call in message.calls):
            said = f"{message.content} {words}".strip()[-LONGEST_MESSAGE:]
            return (*chat[:place], replace(message, content=said), *chat[place + 1 :])
    return chat


def brought_up(chat: Chat, ids: Collection[str]) -> Chat:
    """These calls, whose results came after something else was said, are the last thing in the
    chat: to a model that is what it has to answer."""
    calls = [call for message in chat for call in message.calls if call.id in ids]
    if not calls:
        return chat
    moved = {call.id for call in calls}
    results = {m.call_id: m.content for m in chat if m.call_id in moved}
    rest = []
    for message in chat:
        kept = tuple(call for call in message.calls if call.id not in moved)
        is_left = message.content or kept or not message.calls
        if message.call_id not in moved and is_left:
            rest.append(message if kept == message.calls else replace(message, calls=kept))
    step = Step(tuple(calls), tuple(results.get(call.id) for call in calls))
    return with_steps(tuple(rest), [step])


def rounds(chat: Chat) -> int:
    """How often the agent has asked for tools since the user has spoken last."""
    since = takewhile(lambda message: message.role != "user", reversed(chat))
    return sum(bool(message.calls) for message in since)


def _fitting(output: str) -> str:
    if len(output) <= _LONGEST_RESULT:
        return output
    return output[:_LONGEST_RESULT] + _CUT


def _within_bounds(chat: Chat) -> Chat:
    """The results since the user has spoken last are together no longer than one message may be:
    the oldest are left out."""
    kept = list(chat)
    room = LONGEST_MESSAGE
    for place in range(len(chat) - 1, -1, -1):
        message = chat[place]
        if message.role == "user":
            break
        if message.role == "tool":
            room -= len(message.content)
            if room < 0 and not message.is_pending:
                kept[place] = replace(message, content=_LEFT_OUT)
    return tuple(kept)

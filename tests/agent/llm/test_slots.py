"""Which slot a chat is sent to: the one that knows the conversation."""

import asyncio

import pytest

from serve_app.agent.llm.local.slots import Slot, Slots
from serve_app.conversation.history import ChatMessage

Chat = tuple[ChatMessage, ...]


def chat(*said: str, prompt: str = "Be kind.") -> Chat:
    """The user speaks first."""
    turns = (ChatMessage(("user", "assistant")[i % 2], text) for i, text in enumerate(said))
    return (ChatMessage("system", prompt), *turns)


async def used(slots: Slots, said: Chat) -> Slot:
    """The slot of a reply that has ended."""
    slot = await slots.take(said)
    slots.give_back(slot)
    return slot


async def test_the_next_turn_goes_where_the_last_one_was() -> None:
    slots = Slots(3)
    ann = await used(slots, chat("I am Ann.", "Hi Ann!", "How are you?"))
    bob = await used(slots, chat("I am Bob.", "Hi Bob!", "How are you?"))
    assert ann is not bob
    assert await used(slots, chat("I am Bob.", "Hi Bob!", "How are you?", "Good.", "Fine.")) is bob
    assert await used(slots, chat("I am Ann.", "Hi Ann!", "How are you?", "Well.", "Good!")) is ann


async def test_another_draft_of_the_same_turn_goes_there_too() -> None:
    slots = Slots(3)
    first = await used(slots, chat("Hello!", "Hi!", "What is"))
    assert await used(slots, chat("Hello!", "Hi!", "What is the time?")) is first


async def test_a_long_chat_without_its_oldest_messages_is_the_same() -> None:
    slots = Slots(3)
    said = [f"message {i}" for i in range(21)]
    first = await used(slots, chat(*said))
    assert await used(slots, chat(*said[4:], "reply", "next")) is first


async def test_a_new_conversation_forgets_the_one_that_is_oldest() -> None:
    slots = Slots(2)
    first = await used(slots, chat("one", "two", "three"))
    second = await used(slots, chat("four", "five", "six"))
    assert await used(slots, chat("seven", "eight", "nine")) is first
    assert await used(slots, chat("one", "two", "three")) is second


async def test_a_conversation_that_only_begins_with_the_same_greeting_is_another() -> None:
    slots = Slots(2)
    going_on = await used(slots, chat("Hello!", "Hi!", "Tell me a story."))
    assert await used(slots, chat("Hello!")) is not going_on


async def test_a_new_conversation_goes_where_its_system_prompt_is_known() -> None:
    """If nothing else is known there that somebody needs."""
    slots = Slots(3)
    first = await used(slots, chat("What is"))
    await used(slots, chat("one", "two", "three", prompt="Be brief."))
    assert await used(slots, chat("What is the time?")) is first


async def test_further_chats_wait_until_a_slot_is_given_back() -> None:
    slots = Slots(1)
    slot = await slots.take(chat("one"))
    waiting = asyncio.create_task(slots.take(chat("two")))
    await asyncio.sleep(0)
    assert not waiting.done()
    slots.give_back(slot)
    assert await waiting is slot


async def test_the_next_reply_waits_for_the_slot_of_one_that_was_stopped() -> None:
    """Its conversation is known there; elsewhere all of it would have to be read."""
    slots = Slots(2)
    slot = await slots.take(chat("Hello!", "Hi!", "What"))
    slots.close(slot, slot.taken_at)
    waiting = asyncio.create_task(slots.take(chat("Hello!", "Hi!", "What is it?")))
    await asyncio.sleep(0)
    assert not waiting.done()
    slots.give_back(slot)
    assert await waiting is slot


async def test_a_reply_that_ended_cannot_close_the_slot_of_another() -> None:
    slots = Slots(1)
    slot = await slots.take(chat("one"))
    ended = slot.taken_at
    slots.give_back(slot)
    assert await slots.take(chat("two")) is slot
    slots.close(slot, ended)
    assert not slot.is_closing


async def test_who_stops_waiting_is_forgotten() -> None:
    slots = Slots(1)
    slot = await slots.take(chat("one"))
    waiting = asyncio.create_task(slots.take(chat("two")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    slots.give_back(slot)
    assert slots._waiting == [] and not slot.is_taken


async def test_a_chat_with_tools_has_another_slot_than_without() -> None:
    """They begin in different ways: one of them in the other's place would be read as a whole."""
    slots = Slots(2)
    said = chat("Hello!", "Hi!", "How is the weather?")
    slot = await slots.take(said, "[weather]")
    slots.give_back(slot)
    plain = await used(slots, said)
    assert plain is not slot
    further = chat("Hello!", "Hi!", "How is the weather?", "Fine.", "Good.")
    assert await used(slots, further) is plain
    assert await slots.take(further, "[weather]") is slot


async def test_conversations_with_the_same_tools_share_what_was_read_of_them() -> None:
    slots = Slots(3)
    ann = await slots.take(chat("Call Ann."), "[call]")
    slots.give_back(ann)
    await used(slots, chat("Call Ann.", "I have called Ann.", "Thank you."))
    assert await slots.take(chat("Call Bob."), "[call]") is ann

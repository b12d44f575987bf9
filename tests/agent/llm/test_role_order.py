"""Chats for servers that are strict about the order of roles."""

import pytest

from serve_app.agent.llm.role_order import Message, RoleOrder, arranged

PROMPT, OTHER = {"role": "system", "content": "P"}, {"role": "system", "content": "Q"}
USER, AGENT = {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}
ASKING = {"role": "assistant", "content": None, "tool_calls": [{}]}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "r"}


def shown(messages: list[Message]) -> list[str]:
    return [f"{message['role'][0]}:{message['content']}" for message in messages]


@pytest.mark.parametrize(
    ("chat", "order", "wanted"),
    [
        ([PROMPT, AGENT, USER], "free", ["s:P", "a:a", "u:u"]),
        ([PROMPT, USER, AGENT, USER], "alternating", ["s:P", "u:u", "a:a", "u:u"]),
        ([PROMPT, AGENT, USER], "alternating", ["s:P", "u:(says nothing)", "a:a", "u:u"]),
        ([PROMPT, USER, USER, OTHER], "alternating", ["s:P\n\nQ", "u:u\n\nu"]),
        ([USER, AGENT, ASKING, RESULT], "alternating", ["u:u", "a:a", "a:None", "t:r"]),
        (
            [USER, ASKING, RESULT, USER], "alternating",
            ["u:u", "a:None", "t:r", "a:(is interrupted)", "u:u"],
        ),
        ([PROMPT, USER, AGENT], "no-system", ["u:P\n\nu", "a:a"]),
        ([PROMPT, AGENT], "no-system", ["u:P\n\n(says nothing)", "a:a"]),
        ([USER], "no-system", ["u:u"]),
        ([PROMPT], "alternating", ["s:P", "u:(says nothing)"]),
    ],
)  # fmt: skip
def test_the_same_chat_in_another_order(
    chat: list[Message], order: RoleOrder, wanted: list[str]
) -> None:
    assert shown(arranged(chat, order)) == wanted

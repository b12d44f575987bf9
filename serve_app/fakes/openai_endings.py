"""How replies of a chat model look on the wire, and how they end: as real servers send them."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

Ending = Literal[
    "done", "stall", "no-finish", "cut", "bad-json", "bad-utf8", "bad-shape", "error",
    "no-done", "usage-only", "content-filter", "length",
    "empty-finish", "null-finish", "odd-chunks", "no-space", "crlf", "bom", "surrogates",
    "think-tags", "think-upper", "think-unclosed", "think-unopened", "think-fields", "think-parts",
    "only-thoughts", "only-tags", "nothing", "html", "whole",
]  # fmt: skip
"""What follows the last piece of text:

done            finish_reason, usage and [DONE]
stall           nothing, and the connection stays open
no-finish       a clean end of the body, without finish_reason and [DONE]
cut             the connection is lost in the middle of the body
bad-json        an event that is not JSON
bad-utf8        an event that is not text
bad-shape       events that are JSON, but not chunks of a reply
error           an event with an error, as providers send when they fail half way
no-done         finish_reason, but no [DONE]
usage-only      usage and [DONE], but no finish_reason
content-filter  the finish_reason of a reply that a filter stopped (Azure)
length          the finish_reason of a reply that ran out of tokens

What the chunks look like before that, as for `done` otherwise:

empty-finish    finish_reason is "" until the end (some proxies)
null-finish     finish_reason is "null" until the end
odd-chunks      around each piece choices without delta, with null, and none (Azure, LiteLLM)
no-space        `data:` without a space, and comments
crlf            lines end in CR LF
bom             a byte order mark before the first event
surrogates      halves of surrogate pairs and NUL in the text
think-tags      thoughts between tags in the text, which are cut: before the reply and in it
think-upper     the same in upper case
think-unclosed  a thought after the reply, which does not end
think-unopened  a thought before the reply that begins without a tag
think-fields    thoughts in `reasoning_content` and `reasoning`
think-parts     thoughts and text as typed parts (Mistral)
only-thoughts   thoughts in a field, then `length`, and no text
only-tags       the same between tags
nothing         an empty text, then `stop`

In place of a stream:

html            a web page
whole           one message, as for `stream: false`
"""

Delta = Mapping[str, Any]

_THOUGHT = ("The user said hello.", " I should greet.")
_PAGE = b"<!doctype html><html><body>Sign in to continue</body></html>"
_USAGE = (
    b'data: {"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}}\n\n'
)
_DONE = b"data: [DONE]\n\n"
_ODD: tuple[Any, ...] = (
    {"choices": []},
    {"choices": None},
    {"choices": [{"index": 0, "finish_reason": None, "content_filter_results": {}}]},
    {"choices": [{"index": 0, "delta": None, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]},
    {"choices": [{"index": 1, "delta": {"content": "Another answer."}}]},
)
_BROKEN = {
    "bad-json": b"data: {oops\n\n",
    "bad-utf8": b'data: {"\xff"}\n\n',
    "bad-shape": b'data: {"choices":[{"delta":null}]}\n\ndata: [1]\n\ndata: "x"\n\n',
    "error": b'data: {"error":{"code":"server_error"}}\n\n',
}


def deltas(ending: Ending, pieces: Sequence[Delta]) -> Sequence[Delta]:
    """The pieces of a reply, with what this ending puts around them."""
    match ending:
        case "think-tags" | "think-upper":
            before = _cut("<think>", *_THOUGHT, "</think>", "\n\n")
            within = _cut(" <think>", "Hm.", "</think> ")
            told = [*before, *pieces[:1], *within, *pieces[1:]]
            return [_upper(delta) for delta in told] if ending == "think-upper" else told
        case "think-unclosed":
            return [*pieces, *_cut(" <think>", *_THOUGHT)]
        case "think-unopened":
            return [*_cut(*_THOUGHT, "</think>"), *pieces]
        case "think-fields":
            first, second = _THOUGHT
            return [{"reasoning_content": first}, {"reasoning": second}, *pieces]
        case "think-parts":
            typed = {"type": "thinking", "thinking": [{"type": "text", "text": _THOUGHT[0]}]}
            return [{"content": [typed]}, *map(_typed, pieces)]
        case "only-thoughts":
            return [{"reasoning_content": thought, "content": ""} for thought in _THOUGHT]
        case "only-tags":
            return _cut("<think>", *_THOUGHT)
        case "nothing":
            return [{"content": ""}]
        case "surrogates":
            return [*pieces, {"content": " \ud83d"}, {"content": "\ude00\x00\x07 Bye."}]
    return pieces


def event(ending: Ending, delta: Delta, finish_reason: str | None = None) -> bytes:
    """One piece on the wire."""
    if finish_reason is None:
        finish_reason = {"empty-finish": "", "null-finish": "null"}.get(ending)
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunks = [{"choices": [choice]}]
    if ending == "odd-chunks":
        chunks = [*_ODD, *chunks, *_ODD]
    return _as_written(ending, b"".join(f"data: {json.dumps(c)}\n\n".encode() for c in chunks))


def opening(ending: Ending) -> bytes:
    """What comes before the first piece."""
    mark = b"\xef\xbb\xbf" if ending == "bom" else b""
    return mark + event(ending, {"role": "assistant", "content": ""})


def closing(ending: Ending, finish_reason: str) -> bytes:
    """What comes after the last piece, unless the body is cut or stalls."""
    if ending in _BROKEN:
        return _BROKEN[ending]
    if ending == "no-finish":
        return b""
    if ending == "usage-only":
        return _USAGE + _DONE
    reason = {
        "content-filter": "content_filter",
        "length": "length",
        "only-thoughts": "length",
        "only-tags": "length",
    }.get(ending, finish_reason)
    end = event(ending, {}, reason) + _as_written(ending, _USAGE)
    return end if ending == "no-done" else end + _as_written(ending, _DONE)


def in_place_of_stream(ending: Ending, pieces: Sequence[Delta]) -> tuple[str, bytes] | None:
    """Content type and body, if this is no stream."""
    if ending == "html":
        return "text/html; charset=utf-8", _PAGE
    if ending == "whole":
        text = "".join(piece.get("content", "") for piece in pieces)
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return "application/json", json.dumps({"choices": [choice]}, indent=1).encode()
    return None


def _as_written(ending: Ending, events: bytes) -> bytes:
    if ending == "no-space":
        return b": keep-alive\n\n" + events.replace(b"data: ", b"data:")
    return events.replace(b"\n", b"\r\n") if ending == "crlf" else events


def _cut(*texts: str) -> list[Delta]:
    """Each text in two, so that no tag arrives as a whole."""
    cuts = [0]
    for text in texts:
        cuts.append(cuts[-1] + len(text))
    middles = [(start + end) // 2 for start, end in pairwise(cuts)]
    whole = "".join(texts)
    return [{"content": whole[start:end]} for start, end in pairwise([0, *middles, len(whole)])]


def _upper(delta: Delta) -> Delta:
    return {"content": delta["content"].replace("think", "THINK")}


def _typed(piece: Delta) -> Delta:
    return {"content": [{"type": "text", "text": piece["content"]}]}

"""The agent's side, as events: responses, with one item each that is heard, and calls of tools.

What the conversation says of a reply does not come in one piece. It may be announced or not, be
withdrawn before it is heard, and go on under another token after a false alarm: then it is another
response here.
"""

import base64
from dataclasses import dataclass, field
from typing import Any, Final

from serve_app.protocol.messages import Metrics, ToolCall
from serve_app.protocol.realtime.call import Call
from serve_app.protocol.realtime.calling import Calling
from serve_app.protocol.realtime.events import Events, Item, message_item
from serve_app.protocol.realtime.medium import SAID, WRITTEN, Medium

_NO_USAGE: Final = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_token_details": {"text_tokens": 0, "audio_tokens": 0, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 0, "audio_tokens": 0},
}


@dataclass(slots=True)
class _Response:
    id: str
    item: str = ""
    """Empty until there is something to hear of it."""
    token: str = ""
    pieces: list[tuple[str, float]] = field(default_factory=list)
    """Text and playing time in ms of what was sent."""
    failure: str = ""
    outputs: list[str] = field(default_factory=list)
    """The ids of all its items, in the order in which they began."""
    calls: list[Item] = field(default_factory=list)

    @property
    def transcript(self) -> str:
        return "".join(text for text, _ in self.pieces).strip()

    def heard_ms(self, heard: str) -> int:
        """Where in the audio a text ends with which `transcript` begins. By the share of the text
        within a piece."""
        written = "".join(text for text, _ in self.pieces)
        chars = len(written) - len(written.lstrip()) + len(heard) if heard else 0
        played_ms = 0.0
        for text, duration_ms in self.pieces:
            share = min(1.0, chars / len(text)) if text else float(chars > 0)
            played_ms += share * duration_ms
            chars = max(0, chars - len(text))
        return round(played_ms)


class Speaking:
    """At most one response at a time."""

    def __init__(self, call: Call, events: Events, calling: Calling) -> None:
        self._call = call
        self._events = events
        self._calling = calling
        self._response: _Response | None = None
        self._cut: _Response | None = None
        """What was interrupted, until it is known how much of it was heard."""
        self._metrics: dict[str, str] = {}
        self._last_item = ""
        self._last_heard_ms = 0

    @property
    def is_active(self) -> bool:
        return self._response is not None

    @property
    def response_id(self) -> str:
        return self._response.id if self._response else ""

    @property
    def is_heard(self) -> bool:
        """Whether anything of the response was sent."""
        return self._response is not None and bool(self._response.item)

    # --- a response ---

    def began(self) -> list[str]:
        """A reply is given, which may not be heard yet."""
        if self._response is not None:
            return []
        self._response = _Response(self._events.new_id("resp"))
        return [self._events.event("response.created", response=self._shown("in_progress"))]

    def measured(self, metrics: Metrics) -> None:
        stages = ("endpoint_ms", "stt_ms", "llm_ms", "tts_ms")
        self._metrics = {stage: f"{getattr(metrics, stage):.0f}" for stage in stages}

    def failed(self, message: str) -> None:
        if self._response is not None:
            self._response.failure = message

    def captioned(self, text: str) -> list[str]:
        """The audio that comes next says this."""
        begun = self._item_begun()
        self._live.pieces.append((text, 0.0))
        return [*begun, self._part(f"response.{self._medium.words}.delta", delta=text)]

    def sounded(self, token: str, audio: bytes, duration_ms: float) -> list[str]:
        """The last frame has the audio."""
        begun, response = self._item_begun(), self._live
        response.token = token
        text, before_ms = response.pieces.pop() if response.pieces else ("", 0.0)
        response.pieces.append((text, before_ms + duration_ms))
        delta = base64.b64encode(audio).decode()
        return [*begun, self._part("response.output_audio.delta", delta=delta)]

    def called(self, call: ToolCall) -> list[str]:
        """The response asks for a tool of the client's. More of what it says may follow."""
        begun, response = self.began(), self._live
        item, events = self._calling.called(call, response.id, len(response.outputs))
        response.outputs.append(item["id"])
        response.calls.append(item)
        return [*begun, *events]

    def completed(self) -> list[str]:
        """It was played."""
        response = self._response
        if response is None:
            return []
        self._last_heard_ms = response.heard_ms(response.transcript)
        if response.outputs or not response.failure:
            return self._ended("completed", {"type": "completed"})
        error = {"type": "server_error", "code": "response_failed"}
        return self._ended("failed", {"type": "failed", "error": error})

    def cancelled(self, reason: str) -> list[str]:
        """The client is to stop playback now. `reason`: as OpenAI's clients know it."""
        if self._response is None:
            return []
        self._cut = self._response if self._response.item else None
        return self._ended("cancelled", {"type": "cancelled", "reason": reason})

    @property
    def is_cut(self) -> bool:
        """Whether `heard` is due."""
        return self._cut is not None

    def heard(self, text: str) -> list[str]:
        """How much was heard of the response that was cancelled last."""
        cut, self._cut = self._cut, None
        if cut is None:
            return []
        self._last_heard_ms = cut.heard_ms(text)
        self._events.remember(_item(self._medium, cut.item, "cancelled", text))
        return [self._truncated(transcript=text)] if self._medium is SAID else []

    def played(self, item: str) -> tuple[str, list[str]] | None:
        """The client says how much it has played of an item: the token that it has, empty if it is
        over, and the answer. None for an item that is not the agent's last one."""
        if not item or item != self._last_item or self._medium is WRITTEN:
            return None
        if self._response is not None and self._response.item == item:
            return self._response.token, []
        return "", [self._truncated()]

    # --- events ---

    @property
    def _medium(self) -> Medium:
        return SAID if self._call.options.modality == SAID.modality else WRITTEN

    @property
    def _live(self) -> _Response:
        assert self._response is not None
        return self._response

    def _item_begun(self) -> list[str]:
        begun = self.began()
        if self._live.item:
            return begun
        self._live.item = self._last_item = self._events.new_id("item")
        self._live.outputs.append(self._live.item)
        self._last_heard_ms = 0
        item = message_item(self._live.item, "assistant", "in_progress")
        return [
            *begun,
            self._of("response.output_item.added", item=item),
            self._events.item_added(item),
            self._part("response.content_part.added", part=self._medium.part_of("")),
        ]

    def _ended(self, status: str, details: dict[str, Any]) -> list[str]:
        ended = self._item_ended(status) if self._live.item else []
        done = self._shown(status, details)
        self._response, self._metrics = None, {}
        return [*ended, self._events.event("response.done", response=done)]

    def _item_ended(self, status: str) -> list[str]:
        words, medium, item = self._live.transcript, self._medium, self._item(status)
        sound = [self._part("response.output_audio.done")] if medium is SAID else []
        return [
            *sound,
            self._part(f"response.{medium.words}.done", **{medium.field: words}),
            self._part("response.content_part.done", part=medium.part_of(words)),
            self._of("response.output_item.done", item=item),
            self._events.item_done(item),
        ]

    def _item(self, status: str) -> Item:
        return _item(self._medium, self._live.item, status, self._live.transcript)

    def _shown(self, status: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
        is_over = details is not None
        return {
            "id": self._live.id,
            "object": "realtime.response",
            "status": status,
            "status_details": details,
            "output": self._output(status) if is_over else [],
            "output_modalities": [self._medium.modality],
            "metadata": self._metrics if is_over else None,
            "usage": _NO_USAGE if is_over else None,
        }

    def _output(self, status: str) -> list[Item]:
        """All its items, in order."""
        items = {item["id"]: item for item in self._live.calls}
        return [items.get(id_) or self._item(status) for id_ in self._live.outputs]

    def _of(self, type_: str, **fields: Any) -> str:
        """Of the item that is heard."""
        index = self._live.outputs.index(self._live.item)
        return self._events.event(type_, response_id=self._live.id, output_index=index, **fields)

    def _part(self, type_: str, **fields: Any) -> str:
        return self._of(type_, item_id=self._live.item, content_index=0, **fields)

    def _truncated(self, **fields: Any) -> str:
        return self._events.event(
            "conversation.item.truncated",
            item_id=self._last_item,
            content_index=0,
            audio_end_ms=self._last_heard_ms,
            **fields,
        )


def _item(medium: Medium, id_: str, status: str, words: str) -> Item:
    """Of a response with this status."""
    content = medium.content_of(words)
    is_whole = "completed" if status == "completed" else "incomplete"
    return message_item(id_, "assistant", is_whole, content)

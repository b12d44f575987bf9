"""Events to the client, as frames. Ids are counted, so they are unique within a session."""

import json
from collections import Counter
from typing import Any, Final

from serve_app.protocol.realtime.refused import Refused

Item = dict[str, Any]
_PLACES: Final = 256
"""Items whose place is known: more than are under way at once."""
_REMEMBERED: Final = 16
"""Items that can be asked for."""


class Events:
    """Of one socket."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._last_item: str | None = None
        self._previous: dict[str, str | None] = {}
        self._items: dict[str, Item] = {}

    def new_id(self, kind: str) -> str:
        """Such as `item_3`."""
        self._counts[kind] += 1
        return f"{kind}_{self._counts[kind]}"

    def event(self, type_: str, **fields: Any) -> str:
        return json.dumps({"event_id": self.new_id("event"), "type": type_, **fields})

    def error(self, type_: str, code: str, message: str, **fields: Any) -> str:
        """`fields`: `param`, and the `event_id` of the client's event."""
        error = {"param": None, "event_id": None, **fields}
        return self.event("error", error={"type": type_, "code": code, "message": message, **error})

    def refusal(self, refused: Refused, event_id: str | None) -> str:
        return self.error(
            "invalid_request_error",
            refused.code,
            refused.message,
            param=refused.param or None,
            event_id=event_id,
        )

    # --- items, which follow each other ---

    @property
    def last_item(self) -> str | None:
        return self._last_item

    def is_taken(self, id_: str) -> bool:
        """Whether an item has this id, or may get it: those like `item_3` are counted here."""
        kind, _, number = id_.rpartition("_")
        return id_ in self._previous or (kind == "item" and number.isdecimal())

    def item_added(self, item: Item) -> str:
        """The item is the last one from now on."""
        self._previous[item["id"]] = self._last_item
        _forget_first(self._previous, _PLACES)
        self._last_item = item["id"]
        return self._about_item("conversation.item.added", item)

    def item_done(self, item: Item) -> str:
        return self._about_item("conversation.item.done", item)

    def item(self, id_: str) -> Item | None:
        """One of the last ones, as it is by now."""
        return self._items.get(id_)

    def remember(self, item: Item) -> None:
        self._items[item["id"]] = item
        _forget_first(self._items, _REMEMBERED)

    def _about_item(self, type_: str, item: Item) -> str:
        self.remember(item)
        return self.event(type_, previous_item_id=self._previous.get(item["id"]), item=item)


def _forget_first(entries: dict[str, Any], most: int) -> None:
    if len(entries) > most:
        del entries[next(iter(entries))]


def message_item(id_: str, role: str, status: str, *content: dict[str, Any]) -> Item:
    return {
        "id": id_,
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": role,
        "content": list(content),
    }

"""The user's side, as events: speech, and the items that it becomes."""

from serve_app.protocol.realtime.call import Call
from serve_app.protocol.realtime.events import Events, message_item
from serve_app.protocol.resampling import HEARD_HZ


class Hearing:
    """One item at a time: from the first sound of a turn until its words are known. What turns out
    to be mere noise never becomes an item; the next speech has its id."""

    def __init__(self, call: Call, events: Events) -> None:
        self._call = call
        self._events = events
        self._item = ""
        self._is_speech = False
        self._began_ms = self._ended_ms = 0
        self.is_under_way = False
        """The user has the floor, or has just had it."""
        self.is_committed = False
        """With push-to-talk: an item waits for its transcript."""

    @property
    def has_item(self) -> bool:
        """Whether somebody has spoken since the last item."""
        return bool(self._item)

    def started(self) -> list[str]:
        if self._is_speech:
            return []
        if not self._item:
            self._item = self._events.new_id("item")
            self._began_ms = self._call.heard_ms
        self._is_speech = True
        type_ = "input_audio_buffer.speech_started"
        return [self._events.event(type_, audio_start_ms=self._call.heard_ms, item_id=self._item)]

    def stopped(self) -> list[str]:
        if not self._is_speech:
            return []
        self._is_speech = False
        self._ended_ms = self._call.heard_ms
        type_ = "input_audio_buffer.speech_stopped"
        return [self._events.event(type_, audio_end_ms=self._ended_ms, item_id=self._item)]

    def understood(self, transcript: str) -> list[str]:
        """The turn has ended, with these words."""
        stopped = self.stopped()
        id_, self._item = self._item, ""
        events, before = self._events, self._events.last_item
        return [
            *stopped,
            events.event("input_audio_buffer.committed", previous_item_id=before, item_id=id_),
            events.item_added(_spoken(id_, None)),
            events.item_done(_spoken(id_, transcript)),
            self._transcript(id_, transcript),
        ]

    def committed(self, samples: int) -> list[str]:
        """Push-to-talk: the client says that so many samples are a turn."""
        id_, before = self._events.new_id("item"), self._events.last_item
        self._item, self.is_committed = id_, True
        self._began_ms, self._ended_ms = 0, samples * 1000 // HEARD_HZ
        item = _spoken(id_, None)
        return [
            self._events.event(
                "input_audio_buffer.committed", previous_item_id=before, item_id=id_
            ),
            self._events.item_added(item),
            self._events.item_done(item),
        ]

    def transcribed(self, transcript: str) -> list[str]:
        """What was committed says this; empty if it was mere noise, or nobody knows."""
        id_, self._item, self.is_committed = self._item, "", False
        self._events.remember(_spoken(id_, transcript))
        return [self._transcript(id_, transcript)]

    def _transcript(self, id_: str, transcript: str) -> str:
        return self._events.event(
            "conversation.item.input_audio_transcription.completed",
            item_id=id_,
            content_index=0,
            transcript=transcript,
            usage={"type": "duration", "seconds": self._seconds},
        )

    @property
    def _seconds(self) -> float:
        return max(0, self._ended_ms - self._began_ms) / 1000


def _spoken(id_: str, transcript: str | None) -> dict[str, object]:
    content = {"type": "input_audio", "transcript": transcript}
    return message_item(id_, "user", "completed", content)

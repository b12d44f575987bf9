"""How far the voices of one reply have got in its text."""

from collections.abc import Iterator
from dataclasses import replace

from serve_app.agent.engines import Speech
from serve_app.errors import EngineError


class Reached:
    """Text goes with sound, so that it counts as heard only when that was played. What no voice has
    a sound for is passed on, too, but as that."""

    def __init__(self) -> None:
        self.chars = 0
        """What the voices have dealt with, said or not."""
        self.unsaid = 0
        """Characters that the voice has no sound for."""
        self._silent = ""
        """Those before the first audio. Another voice may say them."""
        self._waiting = ""
        """Text of symbols before the first audio, which it is passed on with."""
        self._is_exact = True
        self._has_audio = False
        self._has_gone_on = False

    def add(self, speech: Speech) -> Iterator[Speech]:
        """What is passed on for `speech`."""
        self.chars += len(speech.text)
        self._is_exact = speech.is_exact
        if not speech.is_said:
            self.unsaid += len(speech.text.strip())
            self._silent += speech.text
        else:
            self._has_audio = self._has_audio or bool(speech.audio)
            self._waiting += speech.text
        if not self._has_audio:
            return
        yield from self.left_out()
        text, self._waiting = self._waiting, ""
        if speech.is_said and (speech.audio or text):
            yield replace(speech, text=text)

    def left_out(self) -> Iterator[Speech]:
        """What no voice has said until now."""
        silent, self._silent = self._silent, ""
        if silent:
            yield Speech(b"", silent, is_said=False)

    def check_sound(self) -> None:
        """Raises EngineError when a voice has ended a reply without a sound."""
        if self.chars and not self._has_audio:
            self._silent, self._waiting = self._silent + self._waiting, ""
            raise EngineError("tts", "the voice has no sound for this text")

    def may_go_on(self) -> bool:
        """Whether another voice may say the rest; after the first audio only once."""
        if not self._has_audio:
            return True
        may = self._is_exact and not self._has_gone_on
        self._has_gone_on = True
        return may

    def begin(self) -> None:
        """Another voice begins: if nothing was heard, from the beginning."""
        if not self._has_audio:
            self.chars, self.unsaid, self._silent, self._waiting = 0, 0, "", ""

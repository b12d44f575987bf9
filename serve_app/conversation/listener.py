"""The user's side of a conversation: from audio to turns."""

from collections.abc import Callable

from serve_app.conversation.audio import AudioBuffer
from serve_app.conversation.effects import (
    CancelSegment,
    Detect,
    Effect,
    JudgeTurn,
    Transcribe,
    TranscribePart,
)
from serve_app.conversation.end_of_turn import EndOfTurn
from serve_app.conversation.settings import (
    SAMPLE_RATE_HZ,
    SMART_TURN_WINDOW_S,
    TurnSettings,
    samples,
)
from serve_app.conversation.turn import Turn
from serve_app.conversation.voice import VoiceTracker
from serve_app.protocol.messages import Samples

SHORTEST_PRESS_MS = 100
LONGEST_PRESS_S = 120
"""Of push-to-talk audio that is neither committed nor cleared, so much is kept: the newest."""
_TAIL_MS = 160
"""How much after the last voiced frame is transcribed: a final consonant may outlast the VAD's
judgement that there is speech."""


class Listener:
    """Keeps the audio, follows the voice, and asks the models about the open turn."""

    def __init__(self, settings: TurnSettings, language: str, do: Callable[[Effect], None]) -> None:
        self._settings = settings
        self._language = language
        self._do = do
        self._audio = AudioBuffer()
        self._voice = VoiceTracker(settings)
        self._end_of_turn = EndOfTurn(settings)
        self._spoke_until = 0
        self._cut_off_at = 0
        """No later turn begins before this sample: a turn that was cut off has what is before."""
        self._taken_until = 0
        """With push-to-talk, the first sample that was neither committed nor cleared."""
        self.turn: Turn | None = None
        """The open turn. While the agent talks, it may turn out to be none."""

    # --- audio and voice activity ---

    def receive(self, audio: Samples) -> None:
        self._audio.append(audio)
        frames = self._audio.take_frames()
        if len(frames):
            self._do(Detect(frames))

    def follow_voice(self, probability: float) -> None:
        """Takes the VAD's judgement on the next frame."""
        self._voice.push(probability)
        if self.turn is not None:
            self.turn.speech_ms = max(self.turn.speech_ms, self._voice.speech_ms)

    @property
    def received(self) -> int:
        """Samples received so far."""
        return self._audio.end

    @property
    def understood_until(self) -> int:
        """The sample before which all is understood: what was said is in the history, or nothing
        was said."""
        if self.turn is not None:
            return self.turn.began_at
        if not self._settings.detects_turns:
            return self._taken_until
        return max(self._speech_start(), self._voice.speech_end_at)

    @property
    def is_voiced(self) -> bool:
        """Whether the last frame was speech."""
        return self._voice.is_voiced

    @property
    def speech_ms(self) -> int:
        """Length of the run of speech that is going on; 0 when there is none."""
        return self._voice.speech_ms

    @property
    def is_speaking(self) -> bool:
        """Whether there is enough speech to open a turn."""
        return self._voice.speech_ms >= self._settings.min_speech_ms

    @property
    def has_spoken(self) -> bool:
        """Whether there is, in the open turn, enough speech for a turn."""
        return self.turn is not None and self._is_enough(self.turn)

    @property
    def is_silent(self) -> bool:
        """Whether the silence is long enough for an utterance to be over."""
        return self._voice.silence_ms >= self._soft_end_ms

    @property
    def silence_ms(self) -> int:
        """Silence since the last voiced frame."""
        return self._voice.silence_ms

    # --- turns ---

    def open(self, generation: int) -> Turn:
        """A turn begins with the speech that is going on."""
        self.turn = Turn(generation, self._speech_start())
        self.turn.speech_ms = self._voice.speech_ms
        self._audio.forget_before(self.turn.start)
        return self.turn

    def close(self) -> None:
        """The turn is over, or there was none."""
        self.turn = None
        self._spoke_until = self._voice.speech_end_at

    def went_on(self) -> None:
        """The user goes on with what was taken for a complete turn: learns from that pause."""
        if self._voice.onset_at is not None:
            pause_ms = (self._voice.onset_at - self._spoke_until) / SAMPLE_RATE_HZ * 1000
            self._end_of_turn.went_on_after(pause_ms)

    def forget(self) -> None:
        """Frees the audio that is too old for a turn to begin with. No turn is open. With
        push-to-talk, the client says what a turn is, as long as that is not too much."""
        if not self._settings.detects_turns:
            self._forget_old_press()
            return
        self._audio.forget_before(self._speech_start())

    def _forget_old_press(self) -> None:
        """10 s at a time, because what is kept is moved."""
        too_much = self._audio.end - self._taken_until - LONGEST_PRESS_S * SAMPLE_RATE_HZ
        if too_much > 10 * SAMPLE_RATE_HZ:
            self._taken_until += too_much
            self._audio.forget_before(self._taken_until)

    # --- push-to-talk ---

    @property
    def has_audio(self) -> bool:
        """Whether there is enough to commit: each commit costs a transcription."""
        return self._audio.end - self._taken_until >= samples(SHORTEST_PRESS_MS)

    def commit(self, generation: int) -> bool:
        """What the client has sent since the last time is a turn, or belongs to the open one. False
        if that is too little, which is kept for the next time."""
        start, end = self._taken_until, self._audio.end
        if not self.has_audio:
            return False
        if self.turn is None:
            self.turn = Turn(generation, start)
        turn = self.turn
        turn.start, turn.is_soft_ended = start, True
        turn.speech_ms += (end - start) * 1000 // SAMPLE_RATE_HZ
        self._cut_if_long(turn, end)
        self._transcribe(turn, end)
        self.clear()
        return True

    def clear(self) -> None:
        """What the client has sent until now is no turn."""
        self._taken_until = self._audio.end
        self._audio.forget_before(self._taken_until)

    def follow_turn(self, turn: Turn) -> None:
        """After each frame of the open turn: asks for its transcript, or takes that back. The text
        is needed when the turn can end."""
        can_end_in_ms = max(0, self._settings.end_silence_ms - self._voice.silence_ms)
        self._follow_turn(turn, can_end_in_ms)

    def follow_overlap(self, turn: Turn) -> None:
        """The same while the agent has the floor: what it does next depends on the text, which is
        needed at once."""
        self._follow_turn(turn, due_ms=0)

    def _follow_turn(self, turn: Turn, due_ms: int) -> None:
        if self._voice.is_voiced:
            self.reopen(turn)
            self._cut_if_long(turn, self._voice.judged_at)
        elif self.is_silent and not turn.is_soft_ended and self._is_enough(turn):
            self._soft_end(turn, due_ms)

    def ask_for_part(self, turn: Turn) -> None:
        """While the user speaks: asks for the text so far."""
        at, segment = self._voice.judged_at, turn.next_segment
        interval = samples(self._settings.partial_ms)
        if interval and self.is_voiced and turn.partial.is_due(segment, at, interval):
            turn.partial.ask(segment, at)
            audio, hint = self._audio.cut(turn.start, at), turn.partial.heard
            self._do(TranscribePart(turn.generation, segment, audio, self._language, hint))

    def _is_enough(self, turn: Turn) -> bool:
        """Whether there was more than a click."""
        return turn.speech_ms >= self._settings.min_speech_ms

    def judge(self, turn: Turn) -> None:
        """Asks the end-of-turn model, when it is time to."""
        silence_ms = self._voice.silence_ms
        if turn.is_soft_ended and self._end_of_turn.is_judgement_due(turn, silence_ms):
            turn.asked_ms = silence_ms
            end = self._voice.judged_at
            heard_from = end - SMART_TURN_WINDOW_S * SAMPLE_RATE_HZ
            audio = self._audio.cut(max(turn.start, heard_from), end)
            self._do(JudgeTurn(turn.generation, turn.segment, audio))

    def is_at_end(self, turn: Turn, question: str) -> bool:
        """Whether the silence is long enough to end the turn; `question` is what the agent said
        last."""
        silence_ms = self._voice.silence_ms
        return turn.is_soft_ended and self._end_of_turn.is_over(turn, silence_ms, question)

    def is_draft_due(self, turn: Turn, question: str) -> bool:
        """Whether a reply should be begun, in case the turn is over."""
        silence_ms = self._voice.silence_ms
        return turn.is_soft_ended and self._end_of_turn.is_draft_due(turn, silence_ms, question)

    def reopen(self, turn: Turn) -> None:
        """Speech goes on after a soft end: the transcript that was asked for is not all of it."""
        if turn.is_soft_ended:
            self._end_of_turn.went_on_after(self._voice.pause_ms)
            self._do(CancelSegment(turn.generation, turn.reopen_segment()))

    def renumber(self, turn: Turn, generation: int) -> None:
        """The turn goes on with another number. What is being transcribed is asked for again: calls
        end with the generation that they were made for."""
        former, turn.generation = turn.generation, generation
        for segment, audio in turn.untranscribed.items():
            self._do(CancelSegment(former, segment))
            self._do(Transcribe(generation, segment, audio, self._language))

    def cut_off(self, turn: Turn) -> None:
        """The client's audio has stopped: the turn is what there is of it, and is over. What comes
        after that is new speech, even if the audio goes on within a word."""
        if not turn.is_soft_ended:
            self._soft_end(turn, due_ms=0)
        self._voice.end_run()
        self._cut_off_at = self._voice.judged_at

    def _soft_end(self, turn: Turn, due_ms: int) -> None:
        speech_end = self._voice.speech_end_at
        self._cut_if_long(turn, speech_end)
        tail_end = min(speech_end + samples(_TAIL_MS), turn.start + self._longest)
        self._transcribe(turn, min(tail_end, self._voice.judged_at), due_ms)
        turn.is_soft_ended = True

    def _cut_if_long(self, turn: Turn, end: int) -> None:
        """Has the beginning transcribed until what is left before `end` fits into one segment."""
        while end - turn.start > self._longest:
            cut = self._audio.segment_end(turn.start, self._longest)
            self._transcribe(turn, cut)
            turn.start = cut
            turn.partial.begin(cut)
            self._audio.forget_before(cut)

    def _transcribe(self, turn: Turn, end: int, due_ms: int = 0) -> None:
        audio = self._audio.cut(turn.start, end)
        hint, segment = turn.partial.heard, turn.add_segment(audio)
        self._do(Transcribe(turn.generation, segment, audio, self._language, due_ms, hint))

    def _speech_start(self) -> int:
        """Where a turn would start: before the onset of speech, or else before the last frame."""
        onset = self._voice.onset_at
        start = self._voice.judged_at if onset is None else onset
        return max(self._cut_off_at, start - samples(self._settings.pre_roll_ms))

    @property
    def _longest(self) -> int:
        """Samples of a segment: the transcriber takes no more at once."""
        return samples(self._settings.max_utterance_ms)

    @property
    def _soft_end_ms(self) -> int:
        return min(self._settings.soft_end_ms, self._settings.end_silence_ms)

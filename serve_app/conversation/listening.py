"""The user's turn: how it begins, is followed word by word, and may be answered with a draft."""

from serve_app.conversation import events as ev
from serve_app.conversation.floor import Floor
from serve_app.conversation.metrics import TurnTimes
from serve_app.conversation.states import State
from serve_app.conversation.transcribing import end_turn
from serve_app.conversation.turn import Turn
from serve_app.conversation.words import same_words
from serve_app.protocol.messages import Partial

# --- waiting: nobody has the floor ---


def receive(floor: Floor, event: ev.AudioReceived) -> None:
    """In every state: the beginning of a turn is heard before it is known to be one."""
    floor.user.receive(event.samples)


def audio_is_wrong(floor: Floor, event: ev.AudioIsWrong) -> None:
    """In every state. What is heard of it is still taken: the server may be mistaken."""
    floor.tell_error("audio", event.advice)


def voice_while_waiting(floor: Floor, event: ev.VoiceActivity) -> State:
    floor.user.follow_voice(event.probability)
    if floor.user.is_speaking and floor.settings.detects_turns:
        return floor.listen()
    floor.user.forget()
    return State.WAITING


def take_text(floor: Floor, event: ev.TextReceived) -> State:
    return answer_text(floor, event) if takes(floor, event) else floor.state


def takes(floor: Floor, event: ev.TextReceived) -> bool:
    """Whether the text was not taken before: a client that is not sure sends it again."""
    if event.id and event.id <= floor.text_id:
        return False
    floor.text_id = event.id or floor.text_id
    return True


def answer_text(floor: Floor, event: ev.TextReceived) -> State:
    """A typed turn is complete at once."""
    floor.not_idle()
    floor.generation += 1
    floor.times = TurnTimes.from_text(floor.now_s)
    floor.commit_turn(event.text)
    return floor.ask()


# --- listening: the user has the floor ---


def voice_while_listening(floor: Floor, event: ev.VoiceActivity) -> State:
    user, turn = floor.user, floor.turn
    user.follow_voice(event.probability)
    user.follow_turn(turn)
    if user.is_speaking and not turn.is_soft_ended:
        floor.agent.drop(floor.generation)
    user.ask_for_part(turn)
    user.judge(turn)
    if user.is_at_end(turn, floor.history.last_words):
        return end_turn(floor)
    _draft(floor)
    return State.LISTENING


def audio_may_have_stalled(floor: Floor, event: ev.Expired) -> State:
    if floor.is_stalled:
        floor.user.cut_off(floor.turn)
        return end_turn(floor)
    floor.watch_audio()
    return State.LISTENING


def turn_judged(floor: Floor, event: ev.TurnJudged) -> None:
    turn = floor.turn
    if event.segment == turn.segment and turn.asked_ms:
        turn.is_judged = True
        turn.complete = event.complete
        _draft(floor)


def part_transcribed(floor: Floor, event: ev.PartTranscribed) -> None:
    if text := floor.turn.take_partial(event.segment, event.text):
        floor.notify(Partial(floor.generation, text), "partial")


def transcribed_early(floor: Floor, event: ev.Transcribed) -> None:
    floor.take_transcript(event)
    _draft(floor)


def failed_early(floor: Floor, event: ev.TranscriptionFailed) -> None:
    floor.take_failure(event)


def type_along(floor: Floor, event: ev.TextReceived) -> None:
    """Typed words are part of the turn that is being spoken."""
    if takes(floor, event):
        floor.turn.add_text(event.text, is_numbered=bool(event.id))


# --- drafts ---


def _draft(floor: Floor) -> None:
    """Begins a reply before the turn is over, when that is due. It is kept back until the turn
    ends, and dropped if the turn goes on."""
    turn, reply = floor.turn, floor.agent.reply
    if not _may_draft(floor, turn):
        return
    turn.drafted_segment = turn.segment
    is_known = reply is not None and same_words(reply.answers, turn.text)
    if not is_known and not floor.is_own_voice(turn):
        turn.drafts += 1
        chat = floor.history.with_user(turn.text)
        floor.agent.draft(floor.generation, chat, turn.text)


def _may_draft(floor: Floor, turn: Turn) -> bool:
    """Asked with each frame of silence, and true once in each."""
    if turn.drafted_segment == turn.segment or turn.drafts >= floor.settings.max_drafts:
        return False
    if not floor.settings.answers_turns:
        return False
    is_known = turn.is_transcribed and bool(turn.text)
    return is_known and floor.user.is_draft_due(turn, floor.history.last_words)


def draft_is_off(floor: Floor, event: ev.ReplyFailed | ev.DraftDeclined) -> None:
    """No harm done: the reply is asked for when the turn ends."""
    floor.agent.reply = None

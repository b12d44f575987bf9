"""The user's turn: it begins out of the waiting, is followed word by word, and may be drafted."""

from serve_app.conversation import events as ev
from serve_app.conversation.floor import Floor
from serve_app.conversation.metrics import TurnTimes
from serve_app.conversation.transcribing import end_turn
from serve_app.conversation.words import same_words
from serve_app.protocol.messages import Partial

# --- waiting: nobody has the floor ---


def receive(floor: Floor, event: ev.AudioReceived) -> None:
    """In every state: what was said before its turn began belongs to it."""
    floor.user.receive(event.samples)


def voice_while_waiting(floor: Floor, event: ev.VoiceActivity) -> None:
    floor.user.hear(event.probability)
    if floor.user.is_speaking:
        floor.listen()
    else:
        floor.user.forget()


def take_text(floor: Floor, event: ev.TextReceived) -> None:
    """A typed turn is complete at once."""
    floor.not_idle()
    floor.generation += 1
    floor.times = TurnTimes.from_text(floor.now_s)
    floor.commit_turn(event.text)
    floor.ask()


# --- listening: the user has the floor ---


def voice_while_listening(floor: Floor, event: ev.VoiceActivity) -> None:
    user, turn = floor.user, floor.turn
    user.hear(event.probability)
    user.follow(turn)
    if user.is_speaking and not turn.is_soft_ended:
        floor.agent.drop(floor.generation)
    user.ask_for_part(turn)
    user.judge(turn)
    if user.is_at_end(turn):
        end_turn(floor)


def audio_may_have_stalled(floor: Floor, event: ev.Expired) -> None:
    if not floor.is_stalled:
        floor.watch_audio()
    else:
        floor.user.cut_off(floor.turn)
        end_turn(floor)


def turn_judged(floor: Floor, event: ev.TurnJudged) -> None:
    turn = floor.turn
    if event.segment == turn.segment and turn.is_judged:
        turn.complete = event.complete


def part_transcribed(floor: Floor, event: ev.PartTranscribed) -> None:
    if text := floor.turn.settle_part(event.segment, event.text):
        floor.notify(Partial(floor.generation, text), "partial")


def transcribed_early(floor: Floor, event: ev.Transcribed) -> None:
    floor.turn.settle(event.segment, event.text)
    _draft(floor)


def failed_early(floor: Floor, event: ev.TranscriptionFailed) -> None:
    floor.settle_failure(event)


def type_along(floor: Floor, event: ev.TextReceived) -> None:
    """Typed words are a part of the turn that is being spoken."""
    floor.turn.add_text(event.text)


# --- drafts ---


def _draft(floor: Floor) -> None:
    """Begins a reply on suspicion: kept back until the turn ends, dropped if it goes on."""
    turn, reply = floor.turn, floor.agent.reply
    if not (turn.is_soft_ended and turn.is_complete and turn.text):
        return
    is_known = reply is not None and same_words(reply.answers, turn.text)
    if not is_known and turn.drafts < floor.settings.max_drafts:
        turn.drafts += 1
        chat = floor.history.with_user(turn.text)
        floor.agent.draft(floor.generation, chat, turn.text)


def draft_is_off(floor: Floor, event: ev.ReplyFailed | ev.DraftDeclined) -> None:
    """No matter: the reply is asked for when the turn ends."""
    floor.agent.reply = None

"""Push-to-talk: the client says what a turn is, and the server does not listen for its end.

Audio is kept while nobody has the floor, and while the agent has it. A commit takes the floor from
the agent, as a typed text does.
"""

from serve_app.conversation import events as ev
from serve_app.conversation.barge_in import stop_reply
from serve_app.conversation.effects import Disarm
from serve_app.conversation.floor import Floor
from serve_app.conversation.states import REPLYING, State
from serve_app.conversation.transcribing import end_turn


def commit(floor: Floor, event: ev.TurnCommitted) -> State:
    """Too little audio is no turn, and is kept for the next commit."""
    if floor.settings.detects_turns or not floor.user.has_audio:
        return floor.state
    if floor.state in REPLYING:
        stop_reply(floor)
    floor.not_idle()
    floor.generation += 1
    floor.user.commit(floor.generation)
    return end_turn(floor)


def commit_more(floor: Floor, event: ev.TurnCommitted) -> State:
    """The turn before is not transcribed yet: they are one."""
    if floor.settings.detects_turns or not floor.user.commit(floor.generation):
        return floor.state
    floor.do(Disarm(ev.Timer.TRANSCRIPT))
    floor.agent.drop(floor.generation)
    return end_turn(floor)


def clear(floor: Floor, event: ev.TurnCleared) -> None:
    if not floor.settings.detects_turns:
        floor.user.clear()

"""What a client's messages mean to the conversation."""

from dataclasses import astuple

from serve_app.conversation import events as ev
from serve_app.conversation.sound import Sound
from serve_app.protocol.messages import (
    Audio,
    ClearTurn,
    ClientMessage,
    Close,
    CommitTurn,
    Open,
    PlaybackState,
    Played,
    RequestInterrupt,
    RequestReply,
    Text,
    ToolResult,
)


def event_of(message: ClientMessage) -> ev.Event:
    """What a message means to the conversation. For `open`, see `opened`."""
    match message:
        case Open():
            return opened(message)
        case Audio(samples):
            return ev.AudioReceived(samples)
        case PlaybackState():
            return ev.PlaybackWaiting()
        case Text(text, id_):
            return ev.TextReceived(text, id_)
        case RequestInterrupt():
            return ev.InterruptRequested()
        case Played(token, played_ms):
            return ev.Played(token, played_ms)
        case ToolResult(call_id, output):
            return ev.ToolAnswered(call_id, output)
        case CommitTurn():
            return ev.TurnCommitted()
        case ClearTurn():
            return ev.TurnCleared()
        case RequestReply():
            return ev.ReplyRequested()
        case Close():
            return ev.CloseRequested()


def opened(message: Open) -> ev.Opened:
    """A new conversation with the options of the message."""
    return ev.Opened(
        message.prompt,
        message.events,
        message.greeting,
        message.language,
        Sound(message.voice, message.sample_rate_hz, is_text=message.text_only),
        message.turn,
        message.resume or bool(message.resume_token),
        played=ev.Played(*astuple(message.played)) if message.played else None,
        tools=message.tools,
    )

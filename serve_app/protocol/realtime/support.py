"""What of OpenAI's Realtime protocol is there: each event, and each field of those that have many.

The tables are what the code goes by, not a description of it: a field is looked up here before
anything is done about it. `python -m serve_app.protocol.realtime.support` prints them; the docs
hold a copy, and tests keep the three the same: these, the docs, and the types of the `openai`
package.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Support(StrEnum):
    SUPPORTED = "supported"
    IGNORED = "accepted without effect"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Row:
    """Of an event or a field."""

    support: Support
    note: str = ""
    """For who reads it; in a refusal, for who is refused."""
    harmless: tuple[Any, ...] = ()
    """Values of a refused field that ask for nothing, and are accepted."""


def _yes(note: str = "") -> Row:
    return Row(Support.SUPPORTED, note)


def _ignored(note: str = "") -> Row:
    return Row(Support.IGNORED, note)


def _no(note: str, *harmless: Any) -> Row:
    return Row(Support.REFUSED, note, harmless)


CLIENT_EVENTS: Final[dict[str, Row]] = {
    "session.update": _yes("all of it or nothing; what is fixed once the conversation has begun"),
    "input_audio_buffer.append": _yes("at most 16 s of audio; the first one begins it"),
    "input_audio_buffer.commit": _yes(
        "only without turn detection (null): at least 100 ms, of which the newest 120 s count; it"
        " interrupts a response. Refused while the last one is not transcribed"
    ),
    "input_audio_buffer.clear": _yes("only without turn detection (null)"),
    "output_audio_buffer.clear": _no("for WebRTC and SIP: send response.cancel"),
    "conversation.item.create": _yes(
        "at the end: a user's message of input_text, which is said with the next response.create;"
        " or a function_call_output. An id of the client's has to be new, and none like item_3"
    ),
    "conversation.item.retrieve": _yes(
        "one of the last 16, without audio; of the agent's, the transcript is what was heard"
    ),
    "conversation.item.delete": _no("the history cannot be changed"),
    "conversation.item.truncate": _yes(
        "how much of the agent's last item was played; not needed: the server knows it"
    ),
    "response.create": _yes(
        "answers the items since the last one, and interrupts; after function_call_outputs alone,"
        " the agent goes on once none is missing, and interrupts nothing; as the first thing of"
        " all, it speaks first. Without create_response, it answers the turns since the last one"
    ),
    "response.cancel": _yes(),
}

_MCP: Final = "MCP servers are the server's, and used out of sight"

SERVER_EVENTS: Final[dict[str, Row]] = {
    "session.created": _yes(),
    "session.updated": _yes(),
    "error": _yes("also before the socket is closed, with the reason"),
    "input_audio_buffer.speech_started": _yes(
        "when the agent is to be silent, or a turn has begun"
    ),
    "input_audio_buffer.speech_stopped": _yes(),
    "input_audio_buffer.committed": _yes(
        "with the transcript; not for mere noise. At once without turn detection"
    ),
    "input_audio_buffer.cleared": _yes("only without turn detection"),
    "conversation.item.added": _yes(),
    "conversation.item.done": _yes(),
    "conversation.item.input_audio_transcription.completed": _yes("always, with its duration"),
    "conversation.item.retrieved": _yes(),
    "conversation.item.truncated": _yes(
        "after each interruption; its extra field `transcript` has what was heard"
    ),
    "response.created": _yes(),
    "response.output_item.added": _yes(),
    "response.content_part.added": _yes(),
    "response.output_audio_transcript.delta": _yes("before the audio that says it"),
    "response.output_audio.delta": _yes("at most 1 s ahead of its playback"),
    "response.output_text.delta": _yes("in place of audio and transcript, as it is written"),
    "response.output_text.done": _yes(),
    "response.output_audio.done": _yes(),
    "response.output_audio_transcript.done": _yes(),
    "response.content_part.done": _yes(),
    "response.output_item.done": _yes(),
    "response.function_call_arguments.delta": _yes("all of them at once"),
    "response.function_call_arguments.done": _yes(
        "before what is said in the same response was played"
    ),
    "response.done": _yes(
        "once it was played: up to 0.5 s after that. `metadata` has the time until the first audio,"
        " stage by stage. Tokens are not counted: `usage` is 0"
    ),
    "conversation.created": _no("of the beta"),
    "conversation.item.created": _no("of the beta"),
    "conversation.item.deleted": _no("nothing can be deleted"),
    "conversation.item.input_audio_transcription.delta": _no("the transcript comes as a whole"),
    "conversation.item.input_audio_transcription.segment": _no("speakers are not told apart"),
    "conversation.item.input_audio_transcription.failed": _no("an error event says it"),
    "input_audio_buffer.timeout_triggered": _no("the agent asks, without an event before"),
    "input_audio_buffer.dtmf_event_received": _no("for SIP"),
    "output_audio_buffer.started": _no("for WebRTC and SIP"),
    "output_audio_buffer.stopped": _no("for WebRTC and SIP"),
    "output_audio_buffer.cleared": _no("for WebRTC and SIP"),
    "response.mcp_call_arguments.delta": _no(_MCP),
    "response.mcp_call_arguments.done": _no(_MCP),
    "response.mcp_call.in_progress": _no(_MCP),
    "response.mcp_call.completed": _no(_MCP),
    "response.mcp_call.failed": _no(_MCP),
    "mcp_list_tools.in_progress": _no(_MCP),
    "mcp_list_tools.completed": _no(_MCP),
    "mcp_list_tools.failed": _no(_MCP),
    "rate_limits.updated": _no("what is over a limit is read later, or closes the socket"),
}
"""Refused here means: never sent."""

_PROMPT: Final = _no("OpenAI's stored prompts are not known here: use instructions")

SESSION_FIELDS: Final[dict[str, Row]] = {
    "type": _yes("`realtime`"),
    "model": _ignored("the server's settings choose the model"),
    "instructions": _yes("the system prompt"),
    "output_modalities": _yes('`["audio"]`, or `["text"]`: nothing is spoken'),
    "max_output_tokens": _ignored(),
    "reasoning": _ignored(),
    "tools": _yes(
        "up to 64 functions of 32 KiB together, beside the server's own, which keep their names."
        " Not with a chat model that transformers runs"
    ),
    "tool_choice": _yes("`auto`, or `none`: the model is not told of `tools`"),
    "parallel_tool_calls": _ignored(),
    "prompt": _PROMPT,
    "include": _ignored("there are no log probabilities"),
    "tracing": _ignored(),
    "truncation": _ignored("the server leaves out the oldest exchanges by itself"),
    "audio.input.format": _yes("`audio/pcm` at 24 kHz, `audio/pcmu`, `audio/pcma`; at any time"),
    "audio.input.noise_reduction": _ignored(),
    "audio.input.transcription.model": _ignored("transcripts are always sent, by the server's"),
    "audio.input.transcription.language": _yes("what the user speaks"),
    "audio.input.transcription.languages": _ignored(),
    "audio.input.transcription.prompt": _ignored(),
    "audio.input.transcription.keywords": _ignored(),
    "audio.input.transcription.delay": _ignored(),
    "audio.input.turn_detection.type": _yes(
        "without turn detection (null) the client commits turns, and asks for each response"
    ),
    "audio.input.turn_detection.eagerness": _yes(
        "low, medium and high are the presets `patient`, `balanced` and `quick`"
    ),
    "audio.input.turn_detection.silence_duration_ms": _yes(
        "every turn ends after so much silence, whatever the end-of-turn model says"
    ),
    "audio.input.turn_detection.interrupt_response": _yes("`turn.interruptions`"),
    "audio.input.turn_detection.idle_timeout_ms": _yes("`turn.idle_prompt_ms`; once"),
    "audio.input.turn_detection.threshold": _ignored(),
    "audio.input.turn_detection.prefix_padding_ms": _ignored(),
    "audio.input.turn_detection.create_response": _yes("if false, the client asks for each one"),
    "audio.output.format": _yes("`audio/pcm` at 24 kHz, `audio/pcmu`, `audio/pcma`"),
    "audio.output.voice": _yes(
        "a voice of the configured provider. OpenAI's own names are accepted where it has others"
    ),
    "audio.output.speed": _no("the voice has one speed", 1, 1.0),
}
"""Of `session.update`. What is not a part of the table and lies below one has the same support."""

RESPONSE_FIELDS: Final[dict[str, Row]] = {
    "conversation": _no("every response is part of the conversation", "auto"),
    "instructions": _no("instructions are those of the session"),
    "input": _no("the input is the conversation"),
    "output_modalities": _yes("those of the session, no others"),
    "audio": _no("voice and format are those of the session"),
    "tools": _no("tools are those of the session", []),
    "tool_choice": _no("the choice is that of the session", "auto"),
    "parallel_tool_calls": _ignored(),
    "prompt": _PROMPT,
    "max_output_tokens": _ignored(),
    "reasoning": _ignored(),
    "metadata": _ignored("that of the response has latencies"),
}
"""Of `response.create`."""


def tables() -> dict[str, str]:
    """By name, in Markdown."""
    return {
        "client events": _table("event", CLIENT_EVENTS),
        "session fields": _table("field", SESSION_FIELDS),
        "response fields": _table("field", RESPONSE_FIELDS),
        "server events": _table("event", SERVER_EVENTS, {Support.REFUSED: "never sent"}),
    }


def _table(name: str, rows: dict[str, Row], names: dict[Support, str] | None = None) -> str:
    lines = [
        f"| `{path}` | {(names or {}).get(row.support, row.support.value)} | {row.note} |"
        for path, row in rows.items()
    ]
    return "\n".join([f"| {name} | | |", "|---|---|---|", *lines])


if __name__ == "__main__":
    for title, table in tables().items():
        print(f"<!-- {title} -->\n{table}\n<!-- end of {title} -->\n")

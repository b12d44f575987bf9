"""Sentences to a voice agent with tools, half of which need one. They were written before any model
had seen them. On `CHOICE` the rules for calls were chosen; `JUDGEMENT` has other tools."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serve_app.agent.llm.tool_calls import ToolSpec


@dataclass(frozen=True, slots=True)
class Sentence:
    """What the user says, and the tool that it needs; empty for none."""

    said: str
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trial:
    """Three tools, and what is said to an agent that has them."""

    name: str
    tools: tuple[ToolSpec, ...]
    sentences: tuple[Sentence, ...]


def _tool(name: str, description: str, /, **properties: object) -> ToolSpec:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ToolSpec(name, description, schema)


_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}

CHOICE = Trial(
    "choice",
    (
        _tool("get_weather", "Tells the weather in a city.", city=_TEXT),
        _tool(
            "turn_light",
            "Turns the light of a room on or off.",
            room=_TEXT,
            state={"type": "string", "enum": ["on", "off"]},
        ),
        _tool("set_timer", "Sets a timer.", minutes=_NUMBER),
    ),
    (
        Sentence("What is the weather in Rome?", "get_weather", {"city": "Rome"}),
        Sentence("Is it raining in Berlin today?", "get_weather", {"city": "Berlin"}),
        Sentence("Do I need an umbrella in London?", "get_weather", {"city": "London"}),
        Sentence("And how is it in Madrid?", "get_weather", {"city": "Madrid"}),
        Sentence("Turn off the bedroom light.", "turn_light", {"room": "bedroom", "state": "off"}),
        Sentence(
            "Please turn on the light in the kitchen.",
            "turn_light",
            {"room": "kitchen", "state": "on"},
        ),
        Sentence("Lights on in the hall!", "turn_light", {"room": "hall", "state": "on"}),
        Sentence(
            "It is too bright in the office, switch the light off.",
            "turn_light",
            {"room": "office", "state": "off"},
        ),
        Sentence("Set a timer for ten minutes.", "set_timer", {"minutes": 10}),
        Sentence("Remind me in five minutes.", "set_timer", {"minutes": 5}),
        Sentence("Start a timer of 20 minutes please.", "set_timer", {"minutes": 20}),
        Sentence("Wake me up in half an hour.", "set_timer", {"minutes": 30}),
        Sentence("How tall is the Eiffel Tower?"),
        Sentence("What is two plus two?"),
        Sentence("Go forward ten meters."),
        Sentence("Hello, how are you?"),
        Sentence("Tell me a story about the sea."),
        Sentence("Thank you, bye."),
        Sentence("What is your name?"),
        Sentence("He might even have been made amiable himself."),
        Sentence("Who wrote Hamlet?"),
        Sentence("I went to Paris last summer."),
        Sentence("Tell me a joke."),
        Sentence("How many minutes does an hour have?"),
    ),
)
JUDGEMENT = Trial(
    "judgement",
    (
        _tool("call_person", "Calls somebody from the address book.", name=_TEXT),
        _tool("play_music", "Plays music of an artist.", artist=_TEXT),
        _tool(
            "set_heating",
            "Makes a room warmer or colder.",
            room=_TEXT,
            change={"type": "string", "enum": ["warmer", "colder"]},
        ),
    ),
    (
        Sentence("Call Anna.", "call_person", {"name": "Anna"}),
        Sentence("Can you ring my brother Tom?", "call_person", {"name": "Tom"}),
        Sentence("I want to talk to Doctor Miller.", "call_person", {"name": "Doctor Miller"}),
        Sentence("Please phone Susan for me.", "call_person", {"name": "Susan"}),
        Sentence("Play something by Mozart.", "play_music", {"artist": "Mozart"}),
        Sentence("I would like to hear the Beatles.", "play_music", {"artist": "the Beatles"}),
        Sentence("Put on some Madonna.", "play_music", {"artist": "Madonna"}),
        Sentence("Some music by Bob Dylan, please.", "play_music", {"artist": "Bob Dylan"}),
        Sentence(
            "Make the bathroom warmer.", "set_heating", {"room": "bathroom", "change": "warmer"}
        ),
        Sentence(
            "It is cold in the kitchen.", "set_heating", {"room": "kitchen", "change": "warmer"}
        ),
        Sentence("The bedroom is too hot.", "set_heating", {"room": "bedroom", "change": "colder"}),
        Sentence(
            "Could you make the office a little colder?",
            "set_heating",
            {"room": "office", "change": "colder"},
        ),
        Sentence("What is the capital of Spain?"),
        Sentence("How do I boil an egg?"),
        Sentence("Good morning!"),
        Sentence("What can you do?"),
        Sentence("My sister lives in Boston."),
        Sentence("How many legs does a spider have?"),
        Sentence("I am a bit tired today."),
        Sentence("Why is the sky blue?"),
        Sentence("Could you say that again?"),
        Sentence("What day comes after Monday?"),
        Sentence("When was Mozart born?"),
        Sentence("That was very kind of you."),
    ),
)

"""Which package a process loads, and which folder may import which: rules that hold, and that
catch mistakes made on purpose. `docs/architecture.md` shows the same."""

from pathlib import Path

import pytest

from tests.imports import (
    Arrows,
    Imports,
    between,
    circles,
    circles_of_modules,
    impure,
    wrong_arrows,
    wrong_packages,
)

ROOT = Path(__file__).parents[1]

STANDARD = {
    "collections", "dataclasses", "difflib", "enum", "itertools", "re", "reprlib", "typing",
    "unicodedata",
}  # fmt: skip
PURE = STANDARD | {"numpy", "msgpack"}
"""Of protocol and conversation: no clock, no randomness, no asyncio, no ray."""
PROTOCOLS = ("serve_app.protocol.realtime", "serve_app.protocol.telephony")
SCHEMAS = "serve_app.protocol.tools"
"""What clients say of their tools is JSON in all protocols."""
SHARED = "serve_app.protocol.json_frames"
"""What the protocols besides Echo's have in common, and needs more than the rest of the folder."""
WIRES = PURE | {"json", "base64", "binascii"}
"""Of these, and of what they share."""

SETTINGS = {"pydantic", "jsonschema"}
"""jsonschema checks the schemas of tools, which are settings."""
LOADED: dict[str, set[str]] = {
    "settings": SETTINGS | {"numpy"},
    "access": SETTINGS | {"numpy", "jwt", "cryptography"},
    "sessions": SETTINGS | {"numpy", "msgpack", "ray", "redis"},
    "decoder": {"numpy", "soundfile", "soxr"},
    "ingress": SETTINGS
    | {"numpy", "msgpack", "ray", "redis", "starlette"}
    | {"jwt", "cryptography", "uvicorn", "websockets"},
    "vad": SETTINGS | {"numpy", "filelock", "onnxruntime"},
    "stt": SETTINGS | {"numpy", "filelock", "ray", "torch", "transformers"},
    "agent": SETTINGS
    | {"numpy", "filelock", "ray", "xllamacpp", "torch", "transformers", "tokenizers"}
    | {"onnxruntime", "hibari", "gruut", "soxr", "soundfile"}
    | {"openai", "elevenlabs", "httpx", "httpx2", "websockets", "mcp", "referencing"},
}
"""Third-party packages that a process may load: its folder and `deployments/` file, with all that
they import at their top. numpy comes with the samples in protocol.messages, filelock with the
models, uvicorn and websockets with the bounds of a socket, ray to STT and agent with their scaling
and metrics."""
HEAVY = {"torch", "transformers", "onnxruntime", "xllamacpp", "hibari"}
"""A replica loads these in its constructor: who only builds the graph, or is another process,
does not need hundreds of megabytes and seconds for them."""

CODES = "protocol.close_codes"
ARROWS: Arrows = {
    CODES: {},
    "protocol": {CODES: "a bad message has one"},
    "errors": {
        CODES: "an error closes a socket with its code",
        "protocol.violation": "a bad message is one of them",
    },
    "conversation": {
        CODES: "it closes the socket",
        "protocol": "what it takes and sends are samples and messages",
    },
    "settings": {
        "errors": "a wrong setting is a ConfigError",
        "protocol": "audio formats, and what a client asks for in `open`",
        "conversation.settings": "turn settings are a part of the file",
        "conversation.presets": "so are their presets",
    },
    "access": {
        "errors": "a key is refused",
        "settings": "its own",
    },
    "decoder": {},
    "devices": {},
    "outline": {},
    "models": {"errors": "a model that cannot be had is a ConfigError"},
    "vad": {
        "protocol": "samples",
        "conversation.settings": "sample rate, frames and windows",
        "models": "fetches Smart Turn",
    },
    "stt": {
        "errors": "a model fails",
        "protocol": "samples",
        "conversation.settings": "sample rate and window",
        "conversation.words": "what is said, without punctuation",
        "settings": "its own",
        "models": "fetches Whisper",
        "devices": "where torch runs",
        "outline": "what of an error may be logged",
    },
    "agent": {
        "errors": "a provider fails",
        "protocol": "audio formats and samples",
        "conversation": "chat messages, pieces and sounds",
        "settings": "its own",
        "models": "fetches the local chat model and voice",
        "devices": "where torch runs",
        "outline": "what of an error may be logged",
    },
    "sessions": {
        "errors": "a session cannot be found",
        "protocol": "the notice with the resume token",
        "conversation": "records",
    },
    "ingress": {
        CODES: "what it closes a socket with",
        "errors": "what ends a session",
        "protocol": "it reads and writes the socket",
        "conversation": "it runs one for each socket",
        "settings": "deadlines",
        "access": "who may connect, and how much each may use",
        "sessions": "it owns the sessions of its sockets",
        "vad.jobs": "what it asks of voice activity",
        "stt.job": "what it asks of the transcribers",
        "decoder.results": "what the decoder that it starts says",
        "agent.parts": "what a reply is streamed in",
        "outline": "what of an error may be logged",
    },
    "deployments.loopback": {},
    "deployments.scaling": {},
    "deployments.engine_metrics": {"agent.chain": "it watches the chains of engines"},
    "deployments.load_metrics": {"ingress.load": "it watches the load"},
    "deployments.vad": {
        "deployments.loopback": "where it listens",
        "vad": "runs it",
        "protocol": "samples",
        "settings": "its own",
    },
    "deployments.stt": {
        "deployments.loopback": "where it listens",
        "stt": "runs it",
        "settings": "its own",
        "deployments.scaling": "names of what it reports",
    },
    "deployments.agent": {
        "deployments.loopback": "where it listens",
        "agent": "runs it",
        "conversation": "chat messages and sounds",
        "settings": "its own",
        "deployments.engine_metrics": "counts failures",
    },
    "deployments.session": {"sessions": "runs it", "settings": "its own"},
    "deployments.ingress": {
        "deployments.loopback": "where it listens",
        "ingress": "runs it",
        "access": "the subprotocol of its answer",
        "errors": "it refuses clients",
        "sessions": "makes the session actors' client",
        "conversation": "how long the last turn may take",
        CODES: "it refuses sockets",
        "protocol.wire": "in the protocol of each",
        "outline": "why it is not healthy",
        "settings": "its own, and the plan for /healthz",
        "deployments.scaling": "names of what it reports",
        "deployments.load_metrics": "counts what is left out",
    },
    "app": {
        "deployments": "it puts the graph together",
        "settings": "loads and resolves them",
        "access.configured": "refuses a server whose keys cannot be read",
        "agent.tools": "refuses tools that cannot be used",
        "sessions.handles": "names of the session actors",
    },
    "local": {
        "app": "serves it",
        "errors": "what is wrong is said before Ray starts",
        "access": "whether its keys can be read; and writes them, for `echo-serve keys`",
        "settings": "loads and resolves them",
        "agent.tools": "refuses tools that cannot be used",
        "agent.factory": "the doctor asks each provider for a word",
        "conversation.history": "what it asks them",
        "models": "fetches them first",
        "sessions": "`forget` asks who keeps sessions",
        "ingress.event_log": "and removes their logs",
    },
    "client": {
        CODES: "may it come back?",
        "errors": "what the demo ends with",
        "protocol": "messages and audio formats",
        "conversation.settings": "sample rate",
        "settings": "the format that the demo's server sends",
        "local": "the demo starts a server",
    },
    "fakes": {},
    "cli": {
        "errors": "its exit status",
        "local": "`run`",
        "client": "`demo`",
        "models": "`models` and `fetch`",
        "settings.plan": "which models are the default",
        "ingress.replay": "`replay`",
    },
    "supply": {"models.manifest": "hashes and licences of the models"},
}
"""From bottom to top. `deployments/X.py` runs `serve_app/X/`; only `app` knows the deployments, and
nobody `supply`, which is in no image."""


@pytest.fixture(scope="module")
def imports() -> Imports:
    return Imports.under(ROOT)


def test_folders_import_what_they_may(imports: Imports) -> None:
    assert wrong_arrows(imports, ARROWS) == []
    assert circles(ARROWS) == []
    assert circles_of_modules(imports) == []


@pytest.mark.parametrize("folder", ["protocol", "conversation"])
def test_the_pure_folders_import_no_io(imports: Imports, folder: str) -> None:
    found = impure(imports, f"serve_app.{folder}", PURE)
    further = (*PROTOCOLS, SHARED, SCHEMAS)
    assert [one for one in found if not one.startswith(further)] == []


@pytest.mark.parametrize("protocol", [*PROTOCOLS, SHARED, SCHEMAS])
def test_neither_do_further_protocols(imports: Imports, protocol: str) -> None:
    assert impure(imports, protocol, WIRES) == []


def test_no_protocol_is_reached_through_another_one(imports: Imports) -> None:
    """So that one can be changed, or left out, without the other."""
    assert between(imports, PROTOCOLS) == []


@pytest.mark.parametrize("process", LOADED)
def test_a_process_loads_what_it_may(imports: Imports, process: str) -> None:
    assert packages_of(imports, process) == []


def test_who_builds_the_graph_loads_no_model_library(imports: Imports) -> None:
    assert loaded_early(imports) == []


def packages_of(imports: Imports, process: str) -> list[str]:
    files = (f"serve_app.{process}", f"deployments.{process.removesuffix('s')}")
    return wrong_packages(imports, imports.modules(*files), LOADED[process])


def loaded_early(imports: Imports) -> list[str]:
    modules = imports.modules("serve_app.app", "serve_app.cli", "deployments")
    return [found for found in wrong_packages(imports, modules, ()) if found.split(":")[0] in HEAVY]


# --- each rule catches a mistake that is made on purpose ---

GOOD = {
    "serve_app/__init__.py": "",
    "serve_app/vad/__init__.py": "",
    "serve_app/errors.py": "from serve_app.protocol.close_codes import CloseCode",
    "serve_app/protocol/close_codes.py": "import enum",
    "serve_app/protocol/messages.py": "import numpy",
    "serve_app/protocol/realtime/wire.py": "import json",
    "serve_app/protocol/telephony/wire.py": "from serve_app.protocol import messages",
    "serve_app/conversation/settings.py": "from dataclasses import dataclass",
    "serve_app/settings/schema.py": "from serve_app.conversation import settings",
    "serve_app/vad/jobs.py": "import numpy",
    "serve_app/vad/silero.py": "import onnxruntime\nfrom serve_app.vad.jobs import VadJob",
    "serve_app/agent/speaker.py": "def speak():\n    import torch",
    "serve_app/ingress/calls.py": "import asyncio\nfrom serve_app.vad.jobs import VadJob",
    "deployments/vad.py": "def __init__(self):\n    from serve_app.vad.silero import Silero",
    "deployments/agent.py": "from serve_app.agent.speaker import Speaker",
    "serve_app/app.py": "from deployments.vad import VoiceActivity",
    "supply/locks.py": "import packaging",
}
"""A house with a few files."""


def built(root: Path, files: dict[str, str]) -> Imports:
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source + "\n")
    return Imports.under(root)


def complaints(imports: Imports) -> list[str]:
    return [
        *wrong_arrows(imports, ARROWS),
        *circles_of_modules(imports),
        *impure(imports, "serve_app.conversation", PURE),
        *between(imports, PROTOCOLS),
        *(found for process in LOADED for found in packages_of(imports, process)),
        *loaded_early(imports),
    ]


def test_a_good_house_has_no_complaints(tmp_path: Path) -> None:
    assert complaints(built(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("file", "mistake", "complaint"),
    [
        ("ingress/calls.py", "import torch", "torch: serve_app.ingress.calls -> torch"),
        (
            "ingress/calls.py",
            "from serve_app.vad import silero",
            "onnxruntime: serve_app.ingress.calls -> serve_app.vad.silero -> onnxruntime",
        ),
        (
            "ingress/calls.py",
            "def ask():\n    from serve_app.vad.silero import SileroVad",
            "serve_app.ingress.calls imports serve_app.vad.silero, which is not for ingress",
        ),
        (
            "settings/schema.py",
            "import serve_app.agent.speaker",
            "serve_app.settings.schema imports serve_app.agent.speaker, which is not for settings",
        ),
        (
            "vad/silero.py",
            "from deployments.vad import VoiceActivity",
            "serve_app.vad.silero imports deployments.vad, which is not for vad",
        ),
        (
            "protocol/telephony/wire.py",
            "from serve_app.protocol.realtime import wire",
            "serve_app.protocol.telephony.wire imports serve_app.protocol.realtime.wire, which is",
        ),
        ("vad/silero.py", "import ray", "ray: serve_app.vad.silero -> ray"),
        (
            "conversation/settings.py",
            "def now():\n    import time",
            "serve_app.conversation.settings imports time",
        ),
        (
            "agent/speaker.py",
            "import torch",
            "torch: deployments.agent -> serve_app.agent.speaker -> torch",
        ),
        (
            "vad/jobs.py",
            "from serve_app.vad.silero import SileroVad",
            "serve_app.vad.jobs",
        ),
        ("vad/__init__.py", "import torch", "torch: serve_app.ingress.calls -> serve_app.vad.jobs"),
        (
            "cli.py",
            "def lock():\n    from supply.locks import lock",
            "serve_app.cli imports supply.locks, which is not for cli",
        ),
        ("transport/tcp.py", "", "serve_app.transport.tcp is in no room"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, file: str, mistake: str, complaint: str) -> None:
    name = f"serve_app/{file}"
    files = GOOD | {name: f"{GOOD.get(name, '')}\n{mistake}"}
    assert any(found.startswith(complaint) for found in complaints(built(tmp_path, files)))


def test_what_is_for_type_checkers_only_is_not_loaded(tmp_path: Path) -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"
    assert complaints(built(tmp_path, GOOD | {"serve_app/ingress/calls.py": source})) == []


def test_rooms_in_a_circle_are_found() -> None:
    assert circles({"a": {"b.part": ""}, "b": {"c": ""}, "c": {"a": ""}, "d": {"a": ""}}) == [
        "a", "b", "c",
    ]  # fmt: skip

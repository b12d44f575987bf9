"""Ray pickles what goes from one process to another, and unpickling runs what the pickle names. So
what a client sends must not choose any class: it becomes plain values in messages of ours, and
nothing here unpickles by itself."""

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.ingress.client_events import event_of
from serve_app.protocol import codec, messages
from serve_app.protocol.violation import ProtocolViolation

ROOT = Path(__file__).parents[2]
PLAIN = {str, bytes, int, float, bool, type(None), dict, list, tuple, frozenset}
FIELDS = [
    "audio", "events", "greeting", "id", "key", "language", "played", "played_ms", "prompt",
    "resume", "resume_token", "sample_rate_hz", "state", "text", "token", "turn", "voice",
]  # fmt: skip
TURN = ["preset", "backchannels", "idle_prompt", "end_silence_ms", "interruptions", "x"]


def values_in(value: Any) -> Iterator[Any]:
    """The value and all that it holds."""
    yield value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from values_in(getattr(value, field.name))
    elif isinstance(value, dict):
        yield from (inner for item in value.items() for part in item for inner in values_in(part))
    elif isinstance(value, list | tuple | frozenset):
        yield from (inner for item in value for inner in values_in(item))


def is_plain(value: Any) -> bool:
    """Exactly of a type that pickle knows by heart, samples, or a message or an event of ours."""
    if isinstance(value, np.ndarray):
        return type(value) is np.ndarray and value.dtype == np.float32
    return type(value) in PLAIN or type(value).__module__.startswith("serve_app.")


text = st.text(alphabet="abé \0", max_size=8)
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), text,
    st.binary(max_size=8),
    st.builds(msgpack.Timestamp, st.integers(0, 2**34 - 1)),
    st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=8)),
)  # fmt: skip
values = st.one_of(
    leaves,
    st.lists(leaves, max_size=3),
    st.dictionaries(
        st.sampled_from(TURN) | text, leaves | st.lists(leaves, max_size=2), max_size=3
    ),
)
GOOD: list[dict[str, Any]] = [
    {
        "type": "open", "prompt": "a", "events": ["transcript"], "greeting": "b", "language": "de",
        "voice": "c", "sample_rate_hz": 16_000, "resume": True, "resume_token": "d",
        "key": "g",
        "played": {"token": "e", "played_ms": 5},
        "turn": {"preset": "quick", "backchannels": ["yeah"], "idle_prompt": "f"},
    },
    {"type": "audio", "audio": bytes(8)},
    {"type": "state", "state": "waiting"},
    {"type": "text", "text": "a", "id": 7},
    {"type": "played", "token": "a", "played_ms": 5.5},
    {"type": "interrupt"},
    {"type": "close"},
]  # fmt: skip
frames = st.builds(
    lambda good, odd: {**good, **odd},
    st.sampled_from(GOOD),
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=2),
)


@pytest.mark.parametrize("good", GOOD, ids=lambda good: str(good["type"]))
def test_what_is_right_is_taken(good: dict[str, Any]) -> None:
    """Or the next test would show nothing."""
    assert all(map(is_plain, values_in(codec.decode(msgpack.packb(good)))))


@given(frames)
def test_what_a_client_sends_becomes_plain_values(fields: dict[str, Any]) -> None:
    try:
        message = codec.decode(msgpack.packb(fields))
    except ProtocolViolation:
        return
    assert [v for v in values_in(message) if not is_plain(v)] == []
    assert [v for v in values_in(event_of(message)) if not is_plain(v)] == []


def test_the_check_finds_what_is_not_plain() -> None:
    for odd in (msgpack.Timestamp(1), np.float32(1), np.zeros(1), object()):
        opened = messages.Open("", turn={"x": [odd]})
        assert [v for v in values_in(opened) if not is_plain(v)] == [odd]


UNPICKLES = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}


def test_nothing_of_ours_unpickles() -> None:
    """Neither by itself, nor through what loads pickles if it is asked to."""
    found = []
    for package in ("serve_app", "deployments"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                found += [f"{path.name}: {name}" for name in _risks(node)]
    assert found == []


def _risks(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names):
            return [name.name for name in names if name.name.partition(".")[0] in UNPICKLES]
        case ast.ImportFrom(module=str(module)):
            return [module] if module.partition(".")[0] in UNPICKLES else []
        case ast.Call(ast.Name("eval" | "exec" as name)):
            return [name]
        case ast.Call(ast.Attribute(ast.Name("torch" | "np" | "yaml" as library), "load")):
            return [f"{library}.load"]
        case ast.keyword("allow_pickle"):
            return ["allow_pickle"]
    return []


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from cloudpickle import loads", "eval('1')", "torch.load(f)",
     "np.load(f, allow_pickle=True)"],
)  # fmt: skip
def test_the_search_finds_what_unpickles(code: str) -> None:
    assert any(_risks(node) for node in ast.walk(ast.parse(code)))

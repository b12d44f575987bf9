"""`echo-serve talk` with a real server: typed, and a recording of a human voice."""

import io
import json
import os
import subprocess
import wave
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from tests.serve.conftest import ROOT, Server, echo_serve
from tests.speech import transcript, word_error_rate

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]

CLIP = "go_forward"
PICTURES = ROOT / "build" / "pictures"


def test_what_is_typed_and_said_is_answered(server: Server, tmp_path: Path) -> None:
    wav, heard = ROOT / f"tests/data/speech/{CLIP}.wav", tmp_path / "heard.wav"
    command = echo_serve("talk", "--url", server.url, "--json")
    options = ["--wav", str(wav), "--text", "Who are you?", "--out", str(heard)]
    run = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert run.returncode == 0, run.stdout + run.stderr
    messages = [json.loads(line) for line in run.stdout.splitlines()]
    said = [(m["role"], m["text"]) for m in messages if m["type"] == "transcript"]
    greeting, question, answer, typed, other = said
    assert [greeting[0], answer[0], other[0]] == ["agent"] * 3
    assert word_error_rate(transcript(CLIP), question[1]) == 0.0
    assert typed == ("user", "Who are you?")
    with wave.open(str(heard)) as file:
        assert file.getnframes() > file.getframerate(), "more than a second was heard"


def test_what_a_terminal_shows(server: Server) -> None:
    """It leaves a picture: docs/pictures/terminal.svg is one of these."""
    command = echo_serve("talk", "--url", server.url)
    turns = ["--wav", f"tests/data/speech/{CLIP}.wav", "--text", "What is the capital of France?"]
    colours = os.environ | {"FORCE_COLOR": "1", "COLUMNS": "90"}
    run = subprocess.run(
        [*command, *turns], cwd=ROOT, env=colours, capture_output=True, text=True, timeout=240
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "\x1b[1m  you    What is the capital of France?" in run.stdout
    assert " ms: end of turn " in run.stdout
    console = Console(record=True, width=90, file=io.StringIO())
    console.print(Text.from_ansi(run.stdout))
    PICTURES.mkdir(parents=True, exist_ok=True)
    title = " ".join(["echo-serve talk", *turns[:2], "--text ..."])
    console.save_svg(str(PICTURES / "terminal.svg"), title=title)


def test_without_a_server_the_status_says_so() -> None:
    command = echo_serve("talk", "--url", "ws://127.0.0.1:1/")
    run = subprocess.run([*command, "--text", "Hello?"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1 and "no conversation at ws://127.0.0.1:1/" in run.stdout

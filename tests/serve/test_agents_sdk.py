"""OpenAI's Agents SDKs hold a spoken conversation: a tool that they run, and a barge-in.

Slow, because the packages are fetched from their registries, and need a server of their own. What
they rely on is in tests/protocol/realtime and tests/ingress/test_realtime.py, which are not.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import threading
import venv
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soxr

from serve_app.client.speech import trim
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.fakes import elevenlabs as elevenlabs_server
from serve_app.fakes import openai as openai_server
from tests.agent.tools.test_tool_user import asks
from tests.serve.conftest import ROOT, Server, config_with, free_port, running_server
from tests.speech import clip, transcript, word_error_rate
from tests.web.chromium import CHROMIUM, chromium

pytestmark = [
    pytest.mark.serve,
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

PYTHON_SDK = "openai-agents==0.24.0"
NODE_SDK = ("@openai/agents-realtime@0.20.0", "zod@4")  # which it wants beside it
CLIPS = ("librivox_0930", "librivox_0870")
STORY = [f"word{i} " for i in range(120)] + ["end."]
HERE = ROOT / "tests" / "sdk"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Its LLM asks for the weather in Rome, then tells a long story."""
    llm = openai_server.Script(
        pieces=STORY,
        piece_delay_s=0.05,
        tool_rounds=[asks(("get_weather", '{"city": "Rome"}'))],
    )
    async with openai_server.FakeOpenAi(llm) as openai, elevenlabs_server.FakeElevenLabs() as voice:
        port = free_port()
        environment = {
            "OPENAI_API_KEY": "sk-test",
            "TEXT_GENERATION_API_URL": openai.url,
            "ELEVEN_LABS_API_KEY": "el-test",
            "ELEVEN_LABS_API_URL": voice.url,
        }
        server = running_server(config_with(tmp_path, port), port, environment)
        started = await asyncio.to_thread(server.__enter__)
        try:
            yield started
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    """16-bit samples at 24 kHz."""
    paths = []
    for name in CLIPS:
        at_24_khz = soxr.resample(trim(clip(name)), SAMPLE_RATE_HZ, 24_000)
        paths.append(tmp_path / f"{name}.pcm")
        paths[-1].write_bytes((np.clip(at_24_khz, -1, 1) * 32_767).astype("<i2").tobytes())
    return paths


def _python(folder: Path) -> list[str]:
    """In an environment of its own: the SDK wants other versions of some packages."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    _fetch([python, "-m", "pip", "install", "--quiet", PYTHON_SDK], folder)
    return [python, str(HERE / "call.py")]


def _node(folder: Path) -> list[str]:
    _with_javascript(folder)
    return ["node", str(folder / "node.mjs")]


def _with_javascript(folder: Path) -> None:
    """The package, and our files beside it."""
    if not shutil.which("npm"):
        pytest.skip("no npm: apt-get install nodejs npm")
    folder.mkdir()
    _fetch(["npm", "install", "--no-audit", "--no-fund", *NODE_SDK], folder)
    for name in ("call.mjs", "node.mjs", "browser.html"):
        shutil.copy(HERE / name, folder)


def _fetch(command: list[str], folder: Path) -> None:
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if run.returncode:
        pytest.skip(f"the SDK cannot be fetched: {run.stderr.strip()[-200:]}")


@pytest.mark.parametrize("sdk", [_python, _node], ids=["Python", "Node"])
async def test_a_tool_call_and_a_barge_in(
    sdk: Callable[[Path], list[str]], tmp_path: Path, server: Server, recordings: list[Path]
) -> None:
    call = [*sdk(tmp_path / "sdk"), _url(server), *map(str, recordings)]
    run = await asyncio.to_thread(subprocess.run, call, capture_output=True, text=True, timeout=120)
    sys.stdout.write(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    _check([json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")])


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium")
async def test_the_same_in_a_browser(
    tmp_path: Path, server: Server, recordings: list[Path]
) -> None:
    folder = tmp_path / "sdk"
    _with_javascript(folder)
    (folder / "bundle").symlink_to(folder / "node_modules/@openai/agents-realtime/dist/bundle")
    names = [Path(shutil.copy(path, folder)).name for path in recordings]
    with _files(folder) as port:
        async with chromium() as tab:
            await tab.open(f"http://localhost:{port}/browser.html?url={_url(server)}")
            await tab.until("window.run !== undefined")
            await tab.evaluate(f"void window.run({json.dumps(names)}).catch(console.error)")
            await tab.until("window.happened.some((each) => each.kind === 'answered')", 90)
            happened = await tab.evaluate("window.happened")
    sys.stdout.write(json.dumps(happened))
    _check(happened)


def _url(server: Server) -> str:
    return f"ws://127.0.0.1:{server.port}/v1/realtime"


@contextmanager
def _files(folder: Path) -> Iterator[int]:
    """Serves them. Yields the port."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        thread = threading.Thread(target=files.serve_forever)
        thread.start()
        try:
            yield files.server_port
        finally:
            files.shutdown()
            thread.join()


def _check(happened: list[dict[str, str]]) -> None:
    kinds = [each["kind"] for each in happened]
    assert kinds == ["heard", "tool", "interrupted", "heard", "answered"], happened
    assert happened[1]["city"] == "Rome"
    for name, said in zip(CLIPS, (happened[0], happened[3]), strict=True):
        assert word_error_rate(transcript(name), said["text"]) <= 0.2

"""The JavaScript client in Node: its own tests, and the example of its manual."""

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.web.small_server import SmallServer, serving

pytestmark = [pytest.mark.node, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node") or "node"


def node_flags() -> list[str]:
    """What gives Node a WebSocket. Skips where nothing does."""
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True)
    major = int(version.stdout[1:].split(".")[0])
    if major < 20:
        pytest.skip(f"Node {major} has no WebSocket")
    return ["--experimental-websocket", "--no-warnings"] if major < 22 else []


async def node(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        NODE, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_its_own_tests_pass() -> None:
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests/web").glob("*.test.mjs"))
    assert len(files) == 4
    assert "# fail 0" in await node("--test", "--test-reporter=tap", *files)


def example(server: SmallServer) -> str:
    """Of the manual, at this server."""
    text = (ROOT / "docs" / "javascript.md").read_text()
    found = re.search(r"```js\n(.*?)```", text, re.DOTALL)
    assert found
    assert "localhost:4000" in found[1]
    return found[1].replace("localhost:4000", f"localhost:{server.port}")


async def test_the_example_of_the_manual() -> None:
    flags = node_flags()
    async with serving() as server:
        server.script.answers.append("Paris.")
        source = example(server).replace('"./serve_app', f'"{ROOT.as_uri()}/serve_app')
        output = await node(*flags, "--input-type=module", "--eval", source)
    assert output.splitlines() == ["user What is the capital of France?", "agent Paris."]

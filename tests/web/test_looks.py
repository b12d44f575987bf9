"""How the page looks, and whether everybody can use it. The pictures are in build/pictures."""

import base64
import hashlib
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which

import pytest

from tests.web.chromium import Tab, chromium
from tests.web.recordings import recording
from tests.web.small_server import SmallServer, serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

PICTURES = Path(__file__).parents[2] / "build" / "pictures"
AXE = "axe-core@4.14.1"
AXE_SHA512 = (
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)
"""As the registry gives it (`npm view axe-core dist.integrity`)."""
PHASE = "document.body.dataset.phase"
WORDS = "document.querySelector('#transcript').innerText"
_AT_REST = (
    "Promise.allSettled(document.getAnimations()"
    ".filter(a => a.effect.getComputedTiming().iterations !== Infinity).map(a => a.finished))"
    ".then(() => true)"
)
"""Transitions, such as those between light and dark, are over."""
SIZES = {"desktop": (1280, 800), "phone": (390, 844), "small": (320, 568)}


@asynccontextmanager
async def talking(tmp_path: Path) -> AsyncIterator[tuple[Tab, SmallServer]]:
    """In the middle of a conversation, after an interruption, while the agent speaks."""
    flag = recording(
        tmp_path / "speech.wav", 5.0, "go_forward", 4.5, "librivox_0930", 3.0, "librivox_0880"
    )
    async with serving() as server, chromium([flag, "--hide-scrollbars"]) as tab:
        server.script.answers += [
            "Hello! What would you like to know?",
            "The moon is about two hundred and thirty-nine thousand miles away, which is roughly"
            " ten times around the earth, or thirty earths in a row.",
            "About three hundred and eighty-four thousand.",
            "Walking day and night, without a break, it would take you about nine years.",
        ]
        await tab.permit(server.url, "microphone", "granted")
        await tab.look(*SIZES["desktop"], is_dark=False)
        await tab.open(server.url)
        yield tab, server


async def converse(tab: Tab, server: SmallServer) -> None:
    """Up to the last answer."""
    server.script.heard = "How far is it to the moon?"
    await tab.click("#talk")
    for answered, question in (
        ("The moon", "Wait, in kilometres, please."),
        ("About three", "And how long would I walk?"),
    ):
        await tab.until(f"{WORDS}.includes('{answered}')", 60)
        server.script.heard = question
    await tab.until(f"{WORDS}.includes('day and night')", 60)


async def keep(tab: Tab, name: str) -> None:
    png = await tab.picture()
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / f"{name}.png").write_bytes(png)


async def look(tab: Tab, name: str) -> None:
    """Takes pictures of all sizes and colours, and checks that nothing sticks out."""
    for size, (width, height) in SIZES.items():
        for is_dark in (False, True):
            await tab.look(width, height, is_dark)
            await tab.evaluate(_AT_REST)
            await keep(tab, f"{name}-{size}-{'dark' if is_dark else 'light'}")
        assert await tab.evaluate("document.documentElement.scrollWidth") <= width, size
    await tab.look(*SIZES["desktop"], is_dark=False)


async def test_pictures(tmp_path: Path) -> None:
    async with talking(tmp_path) as (tab, server):
        await look(tab, "idle")
        await tab.click("#open-settings")
        await look(tab, "settings")
        await tab.evaluate("document.querySelector('dialog').close()")
        await converse(tab, server)
        await keep(tab, "page")
        await tab.until(f"{PHASE} === 'listening'")
        await look(tab, "talking")
        await server.lose()
        await tab.until(f"{PHASE} === 'lost'")
        await look(tab, "lost")


@pytest.fixture(scope="session")
def axe(request: pytest.FixtureRequest) -> str:
    """The source of axe-core, from the npm registry, checked against its hash."""
    if not which("npm"):
        pytest.skip("no npm: apt-get install npm")
    folder = request.config.cache.mkdir("axe")
    archive = Path(folder) / f"{AXE.replace('@', '-')}.tgz"
    if not archive.is_file():
        subprocess.run(["npm", "pack", AXE, "--pack-destination", folder], check=True)
    digest = hashlib.sha512(archive.read_bytes()).digest()
    assert base64.b64encode(digest).decode() == AXE_SHA512
    with tarfile.open(archive) as package:
        source = package.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()


async def violations(tab: Tab, axe: str) -> list[str]:
    """In light and dark."""
    found = []
    for is_dark in (False, True):
        await tab.look(*SIZES["desktop"], is_dark)
        await tab.evaluate(_AT_REST)
        await tab.evaluate(f"{axe}; 0")
        found += await tab.evaluate(
            "axe.run().then(r => r.violations.flatMap("
            "v => v.nodes.map(n => v.id + ': ' + n.html + ' ' + n.failureSummary)))"
        )
    return found


async def test_axe_finds_nothing(tmp_path: Path, axe: str) -> None:
    async with talking(tmp_path) as (tab, server):
        assert await violations(tab, axe) == []
        await tab.click("#open-settings")
        assert await violations(tab, axe) == []
        await tab.evaluate("document.querySelector('dialog').close()")
        await converse(tab, server)
        await tab.until(f"{PHASE} === 'listening'")
        assert await violations(tab, axe) == []
        await server.lose()
        await tab.until(f"{PHASE} === 'lost'")
        assert await violations(tab, axe) == []


async def test_axe_can_find_something(tmp_path: Path, axe: str) -> None:
    async with talking(tmp_path) as (tab, _):
        await tab.evaluate("document.querySelector('#talk').removeAttribute('aria-label')")
        assert any("button-name" in one for one in await violations(tab, axe))

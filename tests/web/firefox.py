"""A headless Firefox, driven over WebDriver BiDi, JSON over a WebSocket. Its fake microphone knows
only a tone. It starts no audio without a sound card, so it gets one of PulseAudio."""

import asyncio
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.web.process import address, running

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox") or ""
PULSEAUDIO = shutil.which("pulseaudio") or ""
TONE_HZ = 440
_START_S = 60.0
_ANSWER_S = 30.0
_POLL_S = 0.05
_PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.navigator.audio.fake_frequency": TONE_HZ,
    "media.autoplay.default": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


class FirefoxTab:
    """The one tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._context = ""

    async def attach(self) -> None:
        await self.call("session.new", capabilities={})
        tree = await self.call("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Raises RuntimeError with what the browser says is wrong."""
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(_ANSWER_S):
            while (found := json.loads(await self._socket.recv())).get("id") != number:
                pass
        if found["type"] == "error":
            raise RuntimeError(f"{method}: {found['message']}")
        return dict(found["result"])

    async def before_scripts(self, source: str) -> None:
        await self.call("script.addPreloadScript", functionDeclaration=f"() => {{ {source} }}")

    async def open(self, url: str) -> None:
        await self.call("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def evaluate(self, expression: str) -> Any:
        """The JSON value of an expression. A user's gesture goes with it."""
        done = await self.call(
            "script.evaluate",
            expression=f"JSON.stringify({expression})",
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        if done["type"] == "exception":
            raise RuntimeError(done["exceptionDetails"]["text"])
        return json.loads(done["result"].get("value") or "null")

    async def until(self, expression: str, timeout_s: float = 30.0) -> Any:
        """Waits until the expression is true, and returns it. Raises TimeoutError."""
        try:
            async with asyncio.timeout(timeout_s):
                while not (value := await self.evaluate(expression)):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)  # a page has no event for this
        except TimeoutError:
            shown = await self.evaluate("document.body.innerText")
            raise TimeoutError(f"{expression}\n{shown}") from None
        return value


@asynccontextmanager
async def firefox() -> AsyncIterator[FirefoxTab]:
    """A browser with a profile of its own; both are gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in _PREFERENCES.items()]
        profile = await asyncio.to_thread(_written, Path(folder), "\n".join(lines))
        async with _sound_card(folder) as card:
            command = (
                FIREFOX, "--headless", "--no-remote", "--remote-debugging-port=0",
                "--profile", profile, "about:blank",
            )  # fmt: skip
            async with (
                running(*command, env={**os.environ, "PULSE_SERVER": card}) as process,
                connect(
                    f"{await address(process, 'WebDriver BiDi', _START_S)}/session", max_size=None
                ) as socket,
            ):
                tab = FirefoxTab(socket)
                await tab.attach()
                yield tab


def _written(folder: Path, preferences: str) -> str:
    profile = folder / "profile"
    profile.mkdir()
    (profile / "user.js").write_text(preferences)
    return str(profile)


@asynccontextmanager
async def _sound_card(folder: str) -> AsyncIterator[str]:
    """A PulseAudio of its own that plays to nobody; its address."""
    address = f"{folder}/sound"
    command = (
        PULSEAUDIO, "-n", "--daemonize=no", "--exit-idle-time=-1", "--load=module-null-sink",
        f"--load=module-native-protocol-unix auth-anonymous=1 socket={address}",
    )  # fmt: skip
    async with running(*command, env={**os.environ, "HOME": folder, "XDG_RUNTIME_DIR": folder}):
        async with asyncio.timeout(_START_S):
            while not await asyncio.to_thread(os.path.exists, address):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)
        yield f"unix:{address}"


async def _session(process: asyncio.subprocess.Process) -> str:
    return f"{await address(process, 'WebDriver BiDi', _START_S)}/session"

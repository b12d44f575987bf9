"""A headless Chromium, driven over the Chrome DevTools Protocol. It is the distribution's own, and
the protocol is JSON over a WebSocket, so this needs nothing that is not installed anyway."""

import asyncio
import base64
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.web.process import address, running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
_START_S = 30.0
_ANSWER_S = 30.0
_POLL_S = 0.02
_FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=user-gesture-required",
    "--remote-debugging-port=0",
)


class Tab:
    """One tab. All that it asks the network for is in `requests`, what it logs in `console`."""

    def __init__(self, socket: ClientConnection) -> None:
        self.requests: list[str] = []
        self.console: list[str] = []
        self._socket = socket
        self._session = ""
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def listen(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            else:
                self._note(message.get("method", ""), message.get("params", {}))

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.requests.append(params["url"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.console.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded":
            self.console.append(params["entry"]["text"])

    async def attach(self) -> None:
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self.call(f"{domain}.enable")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Raises RuntimeError with what the browser says is wrong."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        await self._socket.send(json.dumps(message))
        async with asyncio.timeout(_ANSWER_S):
            found = await answer
        if "error" in found:
            raise RuntimeError(f"{method}: {found['error']['message']}")
        return dict(found["result"])

    async def evaluate(self, expression: str) -> Any:
        """The JSON value of an expression; promises are awaited. A user's gesture goes with it."""
        done = await self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in done:
            raise RuntimeError(done["exceptionDetails"]["exception"].get("description"))
        return done["result"].get("value")

    async def until(self, expression: str, timeout_s: float = 30.0) -> Any:
        """Waits until the expression is true, and returns it. Raises TimeoutError."""
        try:
            async with asyncio.timeout(timeout_s):
                while not (value := await self.evaluate(expression)):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)  # a page has no event for this
        except TimeoutError:
            shown = await self.evaluate("document.body.innerText")
            raise TimeoutError(f"{expression}\n{shown}\n{self.console}") from None
        return value

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def before_scripts(self, source: str) -> None:
        """Runs in each document before the page's own scripts."""
        await self.call("Page.addScriptToEvaluateOnNewDocument", source=source)

    async def press(self, key: str, text: str = "") -> None:
        """A key of the keyboard, such as `Tab`, `Enter` or `Escape`."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
        fields = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0)}
        down = {**fields, "text": text} if text else fields
        await self.call("Input.dispatchKeyEvent", type="keyDown", **down)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **fields)

    async def type(self, text: str) -> None:
        await self.call("Input.insertText", text=text)

    async def click(self, selector: str) -> None:
        """With the mouse, in the middle of the element."""
        x, y = await self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'nearest'}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )

    async def permit(self, origin: str, name: str, setting: str) -> None:
        """`granted` or `denied`, such as for `microphone`."""
        await self.call(
            "Browser.setPermission",
            origin=origin,
            permission={"name": name},
            setting=setting,
        )

    async def look(self, width: int, height: int, is_dark: bool) -> None:
        """The size of the window, and the colours that the user prefers."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self) -> bytes:
        """Of what is to be seen, as PNG."""
        shot = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])


@asynccontextmanager
async def chromium(flags: Sequence[str] = ()) -> AsyncIterator[Tab]:
    """A browser with a profile of its own and one tab; both are gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = (CHROMIUM, *_FLAGS, *sandbox, *flags, f"--user-data-dir={profile}", "about:blank")
        env = {**os.environ, "TMPDIR": profile}  # it leaves folders there
        async with (
            running(*command, env=env) as process,
            connect(await address(process, "DevTools", _START_S), max_size=None) as socket,
        ):
            tab = Tab(socket)
            listener = asyncio.create_task(tab.listen())
            try:
                await tab.attach()
                yield tab
            finally:
                listener.cancel()
                await asyncio.gather(listener, return_exceptions=True)

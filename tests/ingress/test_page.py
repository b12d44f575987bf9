"""The page as files: what is served, with which headers, and that it is complete."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from setuptools import Distribution
from starlette.applications import Starlette

from serve_app.ingress.page import WEB, page_routes

BUDGET_BYTES = 200_000
FILES = sorted(path for path in WEB.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=Starlette(routes=page_routes()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://page") as client:
        yield client


async def test_the_page_is_at_the_root_and_every_file_at_its_name(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/")).text == (WEB / "index.html").read_text()
    for path in FILES:
        answer = await http.get(f"/{path.relative_to(WEB).as_posix()}")
        assert answer.status_code == 200 and answer.content == path.read_bytes(), path


@pytest.mark.parametrize(
    "path", ["/page.py", "/../page.py", "/%2e%2e/page.py", "/client/", "/client/../../page.py"]
)
async def test_nothing_else_is_served(http: httpx2.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 404


async def test_a_strict_policy_allows_this_server_only(http: httpx2.AsyncClient) -> None:
    headers = (await http.get("/")).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert not re.search(r"unsafe|\*|https?:|data:|blob:", policy)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


async def test_what_a_browser_has_is_not_sent_again(http: httpx2.AsyncClient) -> None:
    first = await http.get("/page/main.js")
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["content-type"].startswith("text/javascript")
    for tag in (first.headers["etag"], f"W/{first.headers['etag']}"):
        again = await http.get("/page/main.js", headers={"if-none-match": tag})
        assert again.status_code == 304 and not again.content
    other = await http.get("/page/main.js", headers={"if-none-match": '"other"'})
    assert other.status_code == 200


def test_the_page_is_small() -> None:
    assert sum(path.stat().st_size for path in FILES) < BUDGET_BYTES


@pytest.mark.parametrize("path", [*SCRIPTS, WEB / "index.html", WEB / "style.css"], ids=str)
def test_the_page_names_nobody_else(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"(?:https?|wss?)://[\w.]+", text) == []
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_modules_are_where_they_are_looked_for(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r'(?:from|import) "(\.[^"]+)"', text):
        assert (path.parent / name).is_file(), name
    for name in re.findall(r'new URL\("([^"]+\.js)"', text):
        assert (path.parent / name).is_file(), name


def test_the_page_is_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so in the image, which installs the package."""
    monkeypatch.chdir(ROOT)
    package = Distribution({"packages": ["serve_app.ingress"], "script_name": "setup.py"})
    package.parse_config_files()
    package.include_package_data = False  # or it writes to the checkout
    package.src_root = str(ROOT)
    build = package.get_command_obj("build_py")
    build.build_lib = str(tmp_path)
    build.ensure_finalized()
    build.run()
    installed = tmp_path / "serve_app" / "ingress" / "web"
    built = {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()}
    assert built == {path.relative_to(WEB) for path in FILES}

"""A browser where there is one."""

import shutil

import pytest

from tests.web.chromium import CHROMIUM

NODE = shutil.which("node") or ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/web/" not in str(item.path).replace("\\", "/"):
            continue
        if not CHROMIUM and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="no Chromium: apt-get install chromium"))
        if not NODE and item.get_closest_marker("node"):
            item.add_marker(pytest.mark.skip(reason="no Node: apt-get install nodejs npm"))

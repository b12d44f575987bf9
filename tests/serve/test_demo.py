"""The conversation of `make demo`, as a user starts it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from serve_app.client.demo import TURNS
from tests.serve.conftest import ROOT, config_with, echo_serve, free_port

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(400)]


def test_the_demo_holds_a_conversation_and_leaves_nothing_behind(tmp_path: Path) -> None:
    config, wav = config_with(tmp_path, free_port()), tmp_path / "demo.wav"
    command = echo_serve("demo", "--config", str(config), "--wav", str(wav))
    # HAProxy takes ports beside the configured one, where another server may be.
    environment = {**os.environ, "RAY_SERVE_ENABLE_HA_PROXY": "0"}
    demo = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=380
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "stopped; no process is left" in demo.stdout
    report = json.loads(demo.stdout.splitlines()[-1])
    assert [bool(turn["reply"]) for turn in report["turns"]] == [True] * len(TURNS)
    assert report["interrupt_ms"] > 0 and report["stale_chunks"] == 0
    assert wav.stat().st_size > 100_000

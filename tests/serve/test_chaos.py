"""A short `make chaos`: processes are killed during live conversations, which go on."""

import json
import subprocess
import sys

import pytest

from tests.serve.conftest import ROOT

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(600)]


def test_no_turn_is_lost_or_doubled_whatever_is_killed() -> None:
    command = [sys.executable, "-m", "bench.chaos", "--short", "--sessions", "2"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580)
    assert run.returncode == 0, run.stdout + run.stderr
    faults = json.loads(run.stdout.splitlines()[-1])["faults"]
    assert len(faults) == 8
    assert sum(fault["resumed"] for fault in faults) >= 3, "clients did come back"

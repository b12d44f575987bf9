"""Which machine the figures were measured on."""

import os
import platform
from pathlib import Path


def machine() -> str:
    return f"{os.cpu_count()} cores, {_cpu_model()}"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()

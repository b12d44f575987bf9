"""`echo-serve doctor`: what this machine has and lacks for the server, and what to do about it.

Each check yields findings. A provider is asked for one word with the server's own engines, so that
what they report is what a caller would hear about.
"""

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from serve_app.access.configured import check_access
from serve_app.agent.factory import build_llm, build_tts
from serve_app.conversation.history import ChatMessage
from serve_app.errors import ConfigError, EngineError
from serve_app.local import ports
from serve_app.local.server import needed_ports, read_file
from serve_app.models import fetch as models
from serve_app.models.manifest import MANIFEST
from serve_app.records.check import check_records
from serve_app.settings.agent import LlmSettings, TtsSettings
from serve_app.settings.environment import load
from serve_app.settings.plan import packaged_models
from serve_app.settings.resolve import resolve
from serve_app.settings.schema import AppConfig

_PYTHON = (3, 11)
_CORES = 2
_MEMORY_GB = 3.0
"""What the server takes with its default models, and Ray."""
_DISK_GB = 2.0
_PROVIDER_S = 40.0
"""For one word. Their own deadlines are shorter."""


class Level(StrEnum):
    OK = "ok"
    NOTE = "note"
    """The server runs, but less well than it could."""
    WRONG = "wrong"
    """The server will not run, or not answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    subject: str
    text: str
    advice: str = ""
    """What to do. Empty if there is nothing to do."""


def examine(path: Path, env: Mapping[str, str]) -> Iterator[Finding]:
    """All findings, each as soon as it is known. Blocks; asks each configured provider once."""
    yield _python()
    yield from _machine()
    yield _disk()
    yield _gpu()
    yield from _microphone()
    try:
        file = read_file(path)
        config = resolve(load(file.args, env), env, gpus=0)
        check_access(config, env, hides_addresses=False)
        check_records(config, env)
    except ConfigError as error:
        yield Finding(Level.WRONG, "settings", str(error), "change that, and run this again")
        return
    yield Finding(Level.OK, "settings", str(path))
    yield from _ports(needed_ports(file.port, env))
    yield from _models(config)
    yield from _providers(config, env)


# --- the machine ---


def _python() -> Finding:
    found = platform.python_version()
    if sys.version_info < _PYTHON:
        return Finding(Level.WRONG, "Python", found, "install Python 3.11 or newer")
    return Finding(Level.OK, "Python", f"{found} on {platform.system()} {platform.machine()}")


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if (cores or 1) < _CORES:
        advice = f"use {_CORES} or more: one session keeps one busy"
        yield Finding(Level.NOTE, "CPU", f"{cores} core", advice)
    else:
        yield Finding(Level.OK, "CPU", f"{cores} cores")
    free_gb = psutil.virtual_memory().available / 2**30
    if free_gb < _MEMORY_GB:
        advice = f"free some: the server takes {_MEMORY_GB:.0f} GB"
        yield Finding(Level.WRONG, "memory", f"{free_gb:.1f} GB are free", advice)
    else:
        yield Finding(Level.OK, "memory", f"{free_gb:.1f} GB are free")


def _disk() -> Finding:
    cache = models.cache_dir()
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free_gb = shutil.disk_usage(there).free / 2**30
    if not os.access(there, os.W_OK):
        return Finding(
            Level.WRONG, "cache", f"cannot write to {there}", "set ECHO_CACHE_DIR to another folder"
        )
    if free_gb < _DISK_GB:
        text = f"{free_gb:.1f} GB are free at {cache}"
        return Finding(Level.NOTE, "cache", text, "models need room: set ECHO_CACHE_DIR")
    return Finding(Level.OK, "cache", f"{cache}, {free_gb:.0f} GB are free")


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding(Level.OK, "GPU", torch.cuda.get_device_name(0))
    if torch.version.cuda:
        advice = "look at what nvidia-smi says" if shutil.which("nvidia-smi") else ""
        return Finding(Level.OK, "GPU", "none: everything runs on the CPU", advice)
    return Finding(Level.OK, "GPU", "none: this PyTorch is for CPUs")


def _microphone() -> Iterator[Finding]:
    """For `echo-serve talk` only: a server needs none."""
    try:
        import sounddevice  # type: ignore[import-not-found,unused-ignore]
    except (ImportError, OSError):
        return
    try:
        device = sounddevice.query_devices(kind="input")
        yield Finding(Level.OK, "microphone", str(device["name"]))
    except Exception as error:  # PortAudio's own error, or what its host raises
        text = f"none ({error})"
        yield Finding(
            Level.NOTE, "microphone", text, "`talk` needs one, or --wav; a server does not"
        )


# --- what the settings need ---


def _ports(wanted: Mapping[str, int]) -> Iterator[Finding]:
    for setting, port in wanted.items():
        try:
            ports.check_free({setting: port})
            yield Finding(Level.OK, "port", f"{port} is free")
        except ConfigError as error:
            text, _, advice = str(error).partition(": ")
            yield Finding(Level.WRONG, "port", text, advice)


def _models(config: AppConfig) -> Iterator[Finding]:
    store = models.ModelStore(MANIFEST, models.cache_dir())
    for name in packaged_models(config):
        if store.is_ready(name):
            yield Finding(Level.OK, "model", f"{name} is in the cache")
        else:
            advice = "`echo-serve fetch` gets it; so does the first start"
            yield Finding(Level.NOTE, "model", f"{name} is not in the cache", advice)


def _providers(config: AppConfig, env: Mapping[str, str]) -> Iterator[Finding]:
    for llm in config.agent.llms:
        if llm.provider != "local":
            name = f"{llm.model} at {llm.api_url or llm.provider}"
            yield _asked("LLM", name, _write(llm, env))
    for tts in config.agent.voices:
        if tts.provider != "local":
            yield _asked("voice", tts.api_url or tts.provider, _speak(tts, env))


def _asked(subject: str, name: str, work: Coroutine[Any, Any, str]) -> Finding:
    try:
        return Finding(Level.OK, subject, f"{name}: {asyncio.run(_in_time(work))}")
    except EngineError as error:
        advice = "callers would hear an apology: check key, address and model"
        return Finding(Level.WRONG, subject, f"{name}: {error.message}", advice)


async def _in_time(work: Coroutine[Any, Any, str]) -> str:
    try:
        async with asyncio.timeout(_PROVIDER_S):
            return await work
    except TimeoutError:
        raise EngineError("doctor", f"no answer within {_PROVIDER_S:.0f} s") from None


async def _write(settings: LlmSettings, env: Mapping[str, str]) -> str:
    llm = build_llm(settings, env)
    started_s = asyncio.get_running_loop().time()
    try:
        async for text in llm.stream([ChatMessage("user", "Say OK.")]):
            if text.strip():
                break
        else:
            raise EngineError("llm", "an empty answer")
        return f"first word after {asyncio.get_running_loop().time() - started_s:.2f} s"
    finally:
        await llm.aclose()


async def _speak(settings: TtsSettings, env: Mapping[str, str]) -> str:
    async def clauses() -> AsyncIterator[str]:
        yield "OK."

    voice = build_tts(settings, env)
    started_s = asyncio.get_running_loop().time()
    try:
        async for speech in voice.speak(clauses()):
            if speech.audio:
                break
        else:
            raise EngineError("tts", "no audio")
        return f"first audio after {asyncio.get_running_loop().time() - started_s:.2f} s"
    finally:
        await voice.aclose()

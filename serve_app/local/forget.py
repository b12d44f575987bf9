"""`echo-serve forget`: removes what is kept of one session, and says what that was."""

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serve_app.errors import ConfigError
from serve_app.ingress.event_log import logs_of
from serve_app.local.server import read_file
from serve_app.records.erasing import remove_records
from serve_app.sessions.checkpoints import Checkpoints
from serve_app.sessions.handles import NAMESPACE, is_session_actor
from serve_app.settings.environment import load
from serve_app.settings.records import RecordSettings
from serve_app.settings.schema import AppConfig
from serve_app.settings.shown import shown_url

Report = Callable[[str], None]

_SESSION = re.compile(r"[0-9a-f]{32}")
_OWNER_S = 3.0
"""Until whoever has the session at a socket has noticed that it is over."""
_ANSWER_S = 10.0


def forget(path: Path, wanted: str, address: str, report: Report) -> bool:
    """Removes the session from the session actors, Redis, the event logs and the records. `wanted`
    is its name, or a resume token, which begins with it. A client that is still connected is closed
    (4409). Whether everything that may have kept it could be asked. Raises ConfigError."""
    session = wanted.partition(".")[0]
    if not _SESSION.fullmatch(session):
        raise ConfigError("a session has 32 hexadecimal digits; a resume token begins with them")
    config = load(read_file(path).args, os.environ)
    folder, records = config.ingress.event_log_dir, config.ingress.records
    where = _places(records)
    report(f"session {session}")
    # First, to know whether it was there: an owner who learns that it is over removes it, too.
    in_redis = asyncio.run(_erased(session, config))
    with _cluster(address) as is_there:
        has_asked, logs, silent = True, list[str](), list[str]()
        calls, mute = list[str](), list[str]()
        if is_there:
            has_asked = _from_actors(session, report)
            if folder:
                logs, silent = _on_all_nodes(remove_logs, folder, session)
            if where:
                calls, mute = _on_all_nodes(remove_records, *where, session)
        else:
            report("  session actors  no server runs here: nothing is kept in memory")
    if in_redis:
        time.sleep(_OWNER_S)  # until then, the owner may have written it again
        in_redis += asyncio.run(_erased(session, config))
    report(f"  Redis           {_told_by_redis(in_redis, config)}")
    logs += remove_logs(folder, session)
    report(f"  event logs      {_listed(logs, silent, folder)}")
    calls += remove_records(*where, session) if where else []
    report(f"  records         {_told_of_records(calls, mute, records)}")
    report("  Ray's logs      have its name, and nothing of what was said")
    return has_asked and not (silent or mute) and None not in in_redis


def remove_logs(folder: str, session: str) -> list[str]:
    """Removes the session's event logs on this machine. Returns their paths."""
    if not folder:
        return []
    logs = logs_of(Path(folder), session)
    for log in logs:
        log.unlink(missing_ok=True)
    return [str(log) for log in logs]


def _listed(found: Sequence[str], silent: Sequence[str], folder: str) -> str:
    if not folder:
        return "none are written (args.ingress.event_log_dir)"
    told = f"removed {', '.join(found)}" if found else f"nothing of it in {folder}"
    return told + (f"; no answer from {', '.join(silent)}" if silent else "")


def _places(records: RecordSettings | None) -> tuple[str, str] | None:
    """The spool, and the folder where records go, if that is one. None if none are kept."""
    return None if records is None else (records.spool_dir, records.folder or "")


def _told_of_records(
    found: Sequence[str], silent: Sequence[str], records: RecordSettings | None
) -> str:
    if records is None:
        return "none are kept (args.ingress.records)"
    told = _listed(found, silent, records.folder or records.spool_dir)
    is_gone = f"; what was sent to {shown_url(records.url)} is out of reach"
    return told + ("" if records.folder else is_gone)


@contextmanager
def _cluster(address: str) -> Iterator[bool]:
    """Connects to the server's Ray. Whether there is one. Raises ConfigError."""
    import ray
    from ray.exceptions import AuthenticationError

    try:
        ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError:
        if address != "auto":
            raise ConfigError(
                f"no Ray is at {address}: the server says its address at start"
            ) from None
        yield False
        return
    except AuthenticationError:
        there = "here" if address == "auto" else f"at {address}"
        raise ConfigError(
            f"the Ray {there} takes another token: run this as the user who started the server, or"
            " with the RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH that it was started with"
        ) from None
    try:
        yield True
    finally:
        ray.shutdown()


def _from_actors(session: str, report: Report) -> bool:
    import ray
    from ray.exceptions import RayError

    named = ray.util.list_named_actors(all_namespaces=True)
    names = [actor["name"] for actor in named if is_session_actor(actor["name"])]
    found: list[str] = []
    away: list[str] = []
    for name in names:
        try:
            actor = ray.get_actor(name, namespace=NAMESPACE)
            if ray.get(actor.erase.remote(session), timeout=_ANSWER_S):
                found.append(name.rpartition("::")[2])
        except (RayError, ValueError, AttributeError, TimeoutError):
            # Gone, or of a version that cannot do it: what that one keeps ends with its window.
            away.append(name)
    told = f"removed from {', '.join(found)}" if found else f"nothing of it in {len(names)}"
    report(f"  session actors  {told}" + (f"; {len(away)} did not answer" if away else ""))
    return not away


async def _erased(session: str, config: AppConfig) -> list[bool | None]:
    """Removes it from Redis. Says whether it was there, or None if nobody answers; empty without a
    Redis."""
    if not (url := os.environ.get(config.sessions.redis_url_variable)):
        return []
    redis = Checkpoints(url, config.sessions.window_s, config.sessions.max_history_chars)
    was_there = await redis.erase(session)
    await redis.close()
    return [was_there]


def _told_by_redis(answers: Sequence[bool | None], config: AppConfig) -> str:
    if not answers:
        return f"none is used ({config.sessions.redis_url_variable} is not set)"
    if None in answers:
        return "does not answer: what it keeps ends by itself"
    return "removed" if any(answers) else "nothing of it"


def _on_all_nodes(remove: Callable[..., list[str]], *arguments: str) -> tuple[list[str], list[str]]:
    """Removes files wherever a replica may have written them. Returns their paths, and the nodes
    that did not answer."""
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    removed, silent = list[str](), list[str]()
    task: Any = ray.remote(num_cpus=0, max_retries=0)(remove)
    for node in ray.nodes():
        if node["Alive"]:
            address = str(node["NodeManagerAddress"])
            there = task.options(scheduling_strategy=On(node["NodeID"], soft=False))
            try:
                found = ray.get(there.remote(*arguments), timeout=_ANSWER_S)
                removed += [f"{path} (on {address})" for path in found]
            except (RayError, TimeoutError):
                silent.append(address)
    return removed, silent

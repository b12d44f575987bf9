"""Sessions in Redis, which survive when all processes here are gone.

Every call has a short deadline, and none raises: a Redis that is slow or down makes sessions less
durable, which a metric counts, but never delays a conversation.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from typing import Any

import msgpack
from ray.util.metrics import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from serve_app.conversation.calls import Call
from serve_app.conversation.events import Opened
from serve_app.conversation.history import ChatMessage, Record
from serve_app.conversation.open_reply import OpenReply
from serve_app.conversation.sound import Sound
from serve_app.errors import ConfigError
from serve_app.protocol.tools import Tool
from serve_app.sessions.store import LAST_EPOCH, Entry, bounded

log = logging.getLogger(__name__)

_TIMEOUT_S = 1.0
_QUIET_S = 30.0
"""The least time between two warnings."""
_PREFIX = "echo-serve:session:"
_VERSION = 4
_READABLE = (2, 3, 4)
"""Version 3 knew no tools of the client's. Version 2 knew no former secret, no numbers, no replies
that were given and no language either: an entry of them has the defaults."""
_SAVE = """
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'entry', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
_FORGET = """
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[1]) then return 0 end
return redis.call('DEL', KEYS[1])
"""
"""Each script is one step: an owner that was superseded cannot change what its successor wrote."""
_SLACK_S = 15.0
"""Redis does not see sockets: the owners tell it every few seconds which sessions live."""


class Checkpoints:
    """Owned by an ingress replica. The window starts again at each `save` and `touch`."""

    def __init__(self, url: str, window_s: float, max_chars: int) -> None:
        """Raises ConfigError for a URL that is not the address of a Redis."""
        try:
            self._redis = Redis.from_url(
                url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
            )
        except ValueError:
            raise ConfigError("the address of Redis must look like redis://host:6379/0") from None
        self._save = self._redis.register_script(_SAVE)
        self._forget = self._redis.register_script(_FORGET)
        self._kept_ms = round((window_s + _SLACK_S) * 1000)
        self._max_chars = max_chars
        self._failures = Counter(
            "echo_checkpoint_failures", "Sessions that were not written to or read from Redis."
        )
        self._warned_s = float("-inf")

    async def save(self, session: str, entry: Entry) -> bool:
        """All of the session: Redis keeps it as one value. True also if a newer owner has written
        it; False if Redis did not answer."""
        arguments: list[int | bytes] = [
            entry.epoch,
            pack(bounded(entry, self._max_chars)),
            self._kept_ms,
        ]
        done = await self._within(lambda: self._save(keys=[_PREFIX + session], args=arguments))
        return done is not None

    async def load(self, session: str) -> Entry | None:
        """Also None if Redis does not answer, or holds an entry that this version cannot read."""
        packed = await self._within(lambda: self._redis.hget(_PREFIX + session, "entry"))
        return unpack(packed) if packed else None

    async def touch(self, sessions: Iterable[str]) -> list[str]:
        """The owners of these are alive. To be called more often than every 15 s. Returns those
        that Redis does not have."""
        touched = list(sessions)
        pipeline = self._redis.pipeline(transaction=False)
        for session in touched:
            pipeline.pexpire(_PREFIX + session, self._kept_ms)
        found = await self._within(pipeline.execute) or [True] * len(touched)
        return [session for session, is_there in zip(touched, found, strict=True) if not is_there]

    async def forget(self, session: str, epoch: int) -> None:
        await self._within(lambda: self._forget(keys=[_PREFIX + session], args=[epoch]))

    async def erase(self, session: str) -> bool | None:
        """Forgets the session, whoever owns it. Whether it was there; None if Redis does not
        answer."""
        done = await self._within(lambda: self._forget(keys=[_PREFIX + session], args=[LAST_EPOCH]))
        return None if done is None else bool(done)

    async def close(self) -> None:
        await self._redis.aclose()

    async def _within(self, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await call()
        except (RedisError, OSError, TimeoutError) as error:
            self._failures.inc()
            self._warn(error)
            return None

    def _warn(self, error: Exception) -> None:
        now_s = time.monotonic()
        if now_s - self._warned_s >= _QUIET_S:
            self._warned_s = now_s
            # Without its message, which may contain the address with its password.
            log.warning("Redis fails (%s): sessions are kept in memory only", type(error).__name__)


def pack(entry: Entry) -> bytes:
    """The entry as plain data, so that another version of this server can read it."""
    options = asdict(entry.options) | {"events": sorted(entry.options.events)}
    fields = asdict(entry) | {"options": options, "version": _VERSION}
    return bytes(msgpack.packb(fields))


def unpack(packed: bytes) -> Entry | None:
    """None for anything but an entry of this version or one of the two before."""
    try:
        fields = msgpack.unpackb(packed)
        if fields.pop("version") not in _READABLE:
            return None
        options, former = fields.pop("options"), fields.pop("former_record", None)
        events, sound = frozenset(options.pop("events")), Sound(**options.pop("sound"))
        tools = tuple(Tool(**tool) for tool in options.pop("tools", ()))
        return Entry(
            record=_record(fields.pop("record")),
            options=Opened(**options, events=events, sound=sound, tools=tools),
            former_record=None if former is None else _record(former),
            **fields,
        )
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException):
        return None


def _record(fields: dict[str, Any]) -> Record:
    history = tuple(_message(message) for message in fields.pop("history"))
    reply, given = fields.pop("reply"), fields.pop("given", ())
    return Record(
        history,
        reply=None if reply is None else _reply(reply),
        given=tuple(_reply(one) for one in given),
        **fields,
    )


def _message(fields: dict[str, Any]) -> ChatMessage:
    calls = tuple(Call(**call) for call in fields.pop("calls", ()))
    return ChatMessage(**fields, calls=calls)


def _reply(fields: dict[str, Any]) -> OpenReply:
    pieces = tuple((text, duration_s) for text, duration_s in fields.pop("pieces"))
    return OpenReply(pieces=pieces, **fields)

"""The sessions that live through a fault, and what they notice."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from itertools import count

import msgpack
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bench.chaos_faults import ALONE, FAULTS, Result
from bench.chaos_stage import Stage
from bench.providers import ANSWER
from serve_app.client.session import EchoSession, converse
from serve_app.client.speech import trim
from serve_app.protocol.formats import parse_format
from serve_app.protocol.messages import EVENTS
from tests.speech import clip, transcript, word_error_rate

_FORMAT = parse_format("pcm_44100")
_WITHIN_S = 60.0
_CLIP = "go_forward"
_LONG_CLIP = "librivox_0930"
_AT_ONCE_S = 0.5
"""How long a fault takes that is over at once."""
_HEARD_S = 1.8
"""By then more than half of the reply was heard, and all of it is written."""
_DROPPED = 200
_ATTACHED = 9999
"""Stands for a close code."""


class Strike:
    """The fault, which strikes when all sessions are where it should meet them."""

    def __init__(self, stage: Stage, name: str, sessions: int) -> None:
        self._stage = stage
        self._fault, self.is_in_speech = (FAULTS | ALONE)[name]
        self._barrier = asyncio.Barrier(sessions)
        self._struck = asyncio.Event()
        self._going_on: asyncio.Task[None]
        self._at_s = 0.0

    async def strike(self) -> float:
        """Returns when it struck (time.monotonic())."""
        async with asyncio.timeout(_WITHIN_S):
            if await self._barrier.wait() == 0:
                self._at_s = time.monotonic()
                self._going_on = asyncio.create_task(self._strike())
            await self._struck.wait()
        return self._at_s

    async def _strike(self) -> None:
        fault = asyncio.ensure_future(self._fault(self._stage))
        await asyncio.wait({fault}, timeout=_AT_ONCE_S)
        self._struck.set()
        await fault

    @property
    def is_over(self) -> bool:
        """Raises what the fault raised."""
        return self._going_on.done() and self._going_on.result() is None


async def _typed(session: EchoSession, text: str) -> None:
    """Types a turn, and waits for the first audio of the answer."""
    await session.send({"type": "text", "text": text})
    while (await session.next("transcript", timeout_s=_WITHIN_S)).fields["text"] != text:
        pass
    await session.next("audio", timeout_s=_WITHIN_S)


async def _finished(session: EchoSession) -> None:
    """Waits for the end of a turn."""
    while (await session.next("state", timeout_s=_WITHIN_S)).fields["state"] != "waiting":
        pass


async def _spoken(session: EchoSession) -> None:
    await session.say(trim(clip(_CLIP)))


async def live(stage: Stage, name: str, fault: Strike, result: Result) -> None:
    """Three turns. The fault strikes during the second."""
    try:
        async with converse(stage.url, _FORMAT, resume=True) as session:
            await session.open(name, EVENTS, greeting=False)
            await _typed(session, f"{name} first.")
            if fault.is_in_speech:
                await _spoken(session)
            else:
                await _typed(session, f"{name} second.")
            struck_s = await fault.strike()
            await _hear_on(session, name, struck_s)
            await _finished(session)
            waits_s = [wait_s async for wait_s in _talk_on(session, name, fault)]
            await _typed(session, f"{name} last.")
            result.next_audio_s += waits_s or [_next_audio_s(session, struck_s)]
            _judge(stage, name, session, fault.is_in_speech, result)
    except Exception as error:
        _report(name, error)
        result.ended += 1


async def play(stage: Stage, name: str, result: Result) -> None:
    """One of SCENES."""
    try:
        await SCENES[name](stage, result)
    except Exception as error:
        _report(name, error)
        result.ended += 1


def _report(name: str, error: Exception) -> None:
    print(f"  {name} {type(error).__name__} {error}", file=sys.stderr)


async def _hear_on(session: EchoSession, name: str, struck_s: float) -> None:
    """Waits for audio after the fault. If the reply was already over, the user asks something
    else."""
    while (message := await session.next("audio", "state", timeout_s=_WITHIN_S)).at_s < struck_s:
        pass
    while message.kind != "audio":
        if message.fields["state"] == "waiting":
            await session.send({"type": "text", "text": f"{name} third."})
        message = await session.next("audio", "state", timeout_s=_WITHIN_S)


async def _talk_on(session: EchoSession, name: str, fault: Strike) -> AsyncIterator[float]:
    """Keeps talking while the fault goes on. Yields how long each answer took."""
    for number in count(1):
        if fault.is_over:
            return
        asked_s = time.monotonic()
        await _typed(session, f"{name} meanwhile {number}.")
        yield time.monotonic() - asked_s
        await _finished(session)


def _next_audio_s(session: EchoSession, struck_s: float) -> float:
    """Time from the fault to the next audio. If the session lost its socket, what the dead process
    had sent before does not count."""
    after = [message for message in session.received if message.at_s >= struck_s]
    resumed_s = next((m.at_s for m in after if m.kind == "session"), struck_s)
    return next(m.at_s for m in after if m.kind == "audio" and m.at_s >= resumed_s) - struck_s


def _judge(stage: Stage, name: str, session: EchoSession, has_spoken: bool, result: Result) -> None:
    """Compares what the user typed and said with what the client was told, and with the history
    that the LLM was last sent. Each turn has words of its own, so it has to be in both once."""
    told = _told(session)
    spoken = [text for text in told if not text.startswith(name)]
    chats = [r.body["messages"] for r in stage.engines.llm.requests]
    mine = [chat for chat in chats if chat[0]["content"] == name]
    history = " ".join(m["content"] for m in mine[-1] if m["role"] == "user")
    result.turns += len(told)
    result.lost += sum(history.count(text) < 1 for text in told)
    result.lost += has_spoken and word_error_rate(transcript(_CLIP), " ".join(spoken)) > 0
    result.doubled += sum(max(told.count(text), history.count(text)) > 1 for text in set(told))
    result.stale_chunks += session.playback.stale_chunks
    result.resumed += session.resumes


def _told(session: EchoSession) -> list[str]:
    """What the server understood of the user, in order."""
    said = [m.fields for m in session.received if m.kind == "transcript"]
    return [fields["text"] for fields in said if fields["role"] == "user"]


async def _cut(stage: Stage, result: Result) -> None:
    """Every ingress replica is killed in the middle of a reply. The rest is said afterwards, to the
    last letter, because the agent had written all of it."""
    async with converse(stage.url, _FORMAT, resume=True) as session:
        await session.open("cut", EVENTS, greeting=False)
        await _typed(session, "cut first.")
        await asyncio.sleep(_HEARD_S)
        struck_s = time.monotonic()
        stage.signal("echo:Ingress", signal.SIGKILL, most=9)
        await session.next("session", timeout_s=_WITHIN_S)
        await _finished(session)
        result.next_audio_s.append(_next_audio_s(session, struck_s))
        said = [m.fields for m in session.received if m.kind == "transcript"]
        spoken = " ".join(fields["text"] for fields in said if fields["role"] == "agent")
        result.turns += 1
        result.lost += spoken != ANSWER
        result.resumed += session.resumes
        result.stale_chunks += session.playback.stale_chunks


async def _in_speech(stage: Stage, result: Result) -> None:
    """Every ingress replica is killed while the user speaks and goes on speaking. The client sends
    what the server has lost again, so that the transcript is the same as without the fault."""
    async with converse(stage.url, _FORMAT, resume=True) as session:
        await session.open("speech", EVENTS, greeting=False)
        speech = trim(clip(_LONG_CLIP))
        for is_struck in (False, True):
            saying = asyncio.create_task(session.say(speech))
            await asyncio.sleep(_HEARD_S)
            struck_s = time.monotonic()
            if is_struck:
                stage.signal("echo:Ingress", signal.SIGKILL, most=9)
            await saying
            await session.next("transcript", timeout_s=_WITHIN_S)
            next_s = (await session.next("audio", timeout_s=_WITHIN_S)).at_s - struck_s
            await _finished(session)
        whole, *cut = _told(session)
        result.turns += 1 + len(cut)
        result.next_audio_s.append(next_s)
        if cut[:1] != [whole]:
            print(f"  in speech: without the fault {whole!r}, with it {cut}", file=sys.stderr)
            result.lost += 1
        result.doubled += len(cut) > 1
        result.resumed += session.resumes
        result.stale_chunks += session.playback.stale_chunks


async def _race(stage: Stage, result: Result) -> None:
    """Two sockets open with one token. One goes on; the other, and the oldest, are closed: with
    4409 if the winner came later, with 4404 if the server had heard from the winner before."""
    async with converse(stage.server.url, _FORMAT, resume=True) as session:
        await session.open("race", EVENTS, greeting=False)
        token = (await session.next("session")).fields["resume_token"]
        await _typed(session, "race first.")
        tries = await asyncio.gather(*(_attach(stage, token) for _ in range(2)))
        async with asyncio.timeout(_WITHIN_S):
            await session.listener
        result.turns += 1
        loser, winner = sorted(tries)
        has_one_winner = winner == _ATTACHED and loser in (4404, 4409)
        result.ended += not has_one_winner or session.close_code != 4409


async def _attach(stage: Stage, token: str) -> int:
    """The close code, or _ATTACHED if the conversation goes on at this socket."""
    text = {"type": "text", "text": "race second.", "id": 2}
    async with asyncio.timeout(_WITHIN_S), connect(stage.server.url, max_size=None) as socket:
        await socket.send(msgpack.packb({"type": "open", "resume_token": token}))
        try:
            while msgpack.unpackb(await socket.recv())["type"] != "session":
                pass
            await socket.send(msgpack.packb(text))
            while msgpack.unpackb(await socket.recv()).get("text") != text["text"]:
                pass
            await socket.send(msgpack.packb({"type": "close"}))
            return _ATTACHED
        except ConnectionClosed:
            return socket.close_code or 1006


async def _drop(stage: Stage, result: Result) -> None:
    """Many clients that cannot come back disappear at once, whatever they are doing."""

    async def client(number: int) -> None:
        async with converse(stage.server.url, _FORMAT) as session:
            session.stop_microphone()
            await session.open(f"drop {number}", EVENTS, greeting=False)
            await _typed(session, f"drop {number} first.")
            await everybody.wait()
            await session.lose_connection()
            result.turns += 1

    everybody = asyncio.Barrier(_DROPPED)
    clients = [asyncio.create_task(client(number)) for number in range(_DROPPED)]
    await asyncio.gather(*clients, return_exceptions=True)
    result.ended += _DROPPED - result.turns


SCENES = {
    "all ingresses, in a reply": _cut,
    "all ingresses, in speech": _in_speech,
    "two sockets, one token": _race,
    f"{_DROPPED} sessions dropped": _drop,
}

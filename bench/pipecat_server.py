"""The peer of `make bench-peers`: a voice agent on Pipecat, as its own template builds one.

It runs in a virtual environment of its own (requirements-peers.lock) and imports nothing from here:

    python bench/pipecat_server.py --port 4100 --stop silence --whisper FOLDER --llm URL --voice URL

Its serializer speaks Echo's messages, as those of Twilio and Telnyx in the package speak theirs, so
the same caller can talk to both servers.
"""

import argparse
import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import uvicorn
from fastapi import FastAPI, WebSocket
from faster_whisper import WhisperModel
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMRunFrame,
    OutputAudioRawFrame,
    OutputTransportMessageUrgentFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.whisper.stt import WhisperSTTService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

_RATE_HZ = 16_000
_READY = "serves on port"
"""What bench/peers.py waits for."""


class EchoSerializer(FrameSerializer):
    """Echo's messages in place of Pipecat's: msgpack, with a token in front of each audio."""

    def __init__(self) -> None:
        super().__init__()
        self._interrupts = 0

    async def serialize(self, frame: Frame) -> bytes | None:
        if isinstance(frame, InterruptionFrame):
            self._interrupts += 1
            return _packed(type="interrupt", token=self.token)
        if isinstance(frame, OutputAudioRawFrame):
            return _packed(type="audio", audio=self.token.encode() + frame.audio)
        if self.should_ignore_frame(frame):
            return None
        if isinstance(frame, OutputTransportMessageUrgentFrame):
            return _packed(**frame.message)
        return None

    async def deserialize(self, data: str | bytes) -> Frame | None:
        message = msgpack.unpackb(data)
        if message["type"] != "audio":
            return None
        samples = np.frombuffer(message["audio"], dtype="<f4")
        pcm = (samples.clip(-1, 1) * 32767).astype("<i2").tobytes()
        return InputAudioRawFrame(audio=pcm, sample_rate=_RATE_HZ, num_channels=1)

    @property
    def token(self) -> str:
        return f"{self._interrupts:08}"


class TellsWhenDone(FrameProcessor):
    """Tells the client when the agent has stopped speaking."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, BotStoppedSpeakingFrame) and direction == FrameDirection.UPSTREAM:
            message = {"type": "state", "state": "waiting"}
            await self.push_frame(OutputTransportMessageUrgentFrame(message))


class GreedyWhisper(WhisperModel):
    """Decodes once, without beams and without another try: its fastest mode."""

    def transcribe(self, audio: np.ndarray, **options: Any) -> Any:
        return super().transcribe(audio, beam_size=1, temperature=0.0, **options)


class SharedWhisper(WhisperSTTService):
    """Pipecat's own service; but the model is loaded once, and not by each session."""

    shared: WhisperModel

    def _load(self) -> None:
        self._model = self.shared


class TellsWhenReady(uvicorn.Server):
    """A server that prints a line when it can be called."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(f"{_READY} {self.config.port}", flush=True)


async def converse(client: WebSocket, arguments: argparse.Namespace) -> None:
    """One session, from its `open` to its end."""
    opening = msgpack.unpackb(await client.receive_bytes())
    serializer = EchoSerializer()
    await client.send_bytes(_packed(type="token", token=serializer.token))
    transport = FastAPIWebsocketTransport(
        client,
        FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, serializer=serializer
        ),
    )
    context = LLMContext()
    turns = _turns(context, arguments.stop)
    pipeline = _pipeline(transport, turns, opening["prompt"], arguments)
    params = PipelineParams(enable_metrics=True, enable_usage_metrics=True)
    worker = PipelineWorker(pipeline, params=params)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    _tell_transcripts(turns, worker)
    _follow_client(transport, context, worker, runner)
    await runner.run()


def _turns(context: LLMContext, stop: str) -> LLMContextAggregatorPair:
    """Both sides of the conversation, with what ends a user's turn."""
    strategies = {
        "smart": None,  # the default
        "silence": UserTurnStrategies(stop=[SpeechTimeoutUserTurnStopStrategy()]),
    }
    return LLMContextAggregatorPair(
        context,
        user_params=LLMUserAggregatorParams(
            vad_analyzer=SileroVADAnalyzer(), user_turn_strategies=strategies[stop]
        ),
    )


def _pipeline(
    transport: FastAPIWebsocketTransport,
    turns: LLMContextAggregatorPair,
    prompt: str,
    arguments: argparse.Namespace,
) -> Pipeline:
    """As the template for a cascade has it."""
    user, assistant = turns
    llm = OpenAILLMService(
        api_key="sk-bench",
        base_url=arguments.llm,
        settings=OpenAILLMService.Settings(system_instruction=prompt),
    )
    voice = ElevenLabsTTSService(
        api_key="el-bench",
        url=arguments.voice,
        settings=ElevenLabsTTSService.Settings(voice="bench"),
    )
    whisper = SharedWhisper(settings=SharedWhisper.Settings(model="tiny.en"))
    done = TellsWhenDone()
    return Pipeline(
        [transport.input(), whisper, user, llm, voice, done, transport.output(), assistant]
    )


def _tell_transcripts(turns: LLMContextAggregatorPair, worker: PipelineWorker) -> None:
    """The client is told what the user has said."""
    user, _ = turns

    @user.event_handler("on_user_turn_message_added")
    async def on_message(_aggregator: object, message: object) -> None:
        said = {"type": "transcript", "role": "user", "text": message.content}
        await worker.queue_frame(OutputTransportMessageUrgentFrame(said))


def _follow_client(
    transport: FastAPIWebsocketTransport,
    context: LLMContext,
    worker: PipelineWorker,
    runner: WorkerRunner,
) -> None:
    """The agent greets when the client is there, and ends when it is gone."""

    @transport.event_handler("on_client_connected")
    async def on_connected(*_: object) -> None:
        context.add_message({"role": "developer", "content": "Start by introducing yourself."})
        await worker.queue_frames([LLMRunFrame()])

    @transport.event_handler("on_client_disconnected")
    async def on_disconnected(*_: object) -> None:
        await runner.cancel()


def _packed(**fields: object) -> bytes:
    return bytes(msgpack.packb(fields))


async def main() -> None:
    """Serves until it is terminated."""
    arguments = _parser().parse_args()
    logger.remove()
    if arguments.log:
        logger.add(arguments.log, level="DEBUG")
    SharedWhisper.shared = GreedyWhisper(
        str(arguments.whisper), device="cpu", compute_type="int8", cpu_threads=os.cpu_count() or 1
    )
    app = FastAPI()

    @app.websocket("/conversation")
    async def conversation(client: WebSocket) -> None:
        await client.accept()
        await converse(client, arguments)

    config = uvicorn.Config(app, host="127.0.0.1", port=arguments.port, log_level="warning")
    await TellsWhenReady(config).serve()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--port", type=int, required=True)
    add("--stop", choices=["silence", "smart"], required=True, help="what ends a user's turn")
    add("--whisper", type=Path, required=True, help="folder with the weights, for CTranslate2")
    add("--llm", required=True, metavar="URL", help="in place of OpenAI")
    add("--voice", required=True, metavar="URL", help="in place of ElevenLabs")
    add("--log", type=Path, help="what Pipecat logs")
    return parser


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())

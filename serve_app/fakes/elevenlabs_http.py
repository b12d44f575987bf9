"""ElevenLabs' `/v1/text-to-speech/{voice_id}/stream`, for tts.transport `http`."""

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

from serve_app.fakes.elevenlabs_script import Script
from serve_app.fakes.http import HttpFake, Request, response, write, write_audio
from serve_app.fakes.tone import spoken


class FakeElevenLabsHttp(HttpFake):
    """One clause a request. Of the script's faults it has status, stall_after and cut_after."""

    def __init__(self, script: Script | None = None, port: int = 0) -> None:
        super().__init__(port)
        self.script = script or Script()

    @property
    def url(self) -> str:
        """Stands where https://api.elevenlabs.io would."""
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """See HttpFake."""
        script, number = self.script, len(self.requests)
        if script.status != 101:
            none = {"status": "in so many words", "message": json.dumps(request.body)}
            error = {"detail": script.detail or none}
            await write(writer, response(script.status, json.dumps(error).encode()))
            return True
        format = parse_qs(urlsplit(request.path).query)["output_format"][0]
        chunks = list(spoken(request.body["text"], format, script.chunk_bytes))
        stalls = script.stall_after is not None and number >= script.stall_after
        is_cut = script.cut_after is not None and number >= script.cut_after
        return await write_audio(
            writer,
            [chunk.audio for chunk in (chunks[: len(chunks) // 2] if stalls or is_cut else chunks)],
            script.first_audio_delay_s,
            script.chunk_delay_s,
            "stall" if stalls else "cut" if is_cut else "done",
        )

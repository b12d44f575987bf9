"""A cable between clients and server that can be pulled: then not a byte passes, and no close."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_BYTES = 65_536


class Cable:
    """Passes bytes on until it is pulled. Connections made afterwards work, as if the client had
    found another network."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._to = port
        self._pulled: set[asyncio.StreamWriter] = set()
        self._plugged: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    def pull(self) -> None:
        """Cuts all connections that there are."""
        self._pulled |= self._plugged
        self._plugged.clear()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()
            return
        self._plugged |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while (data := await source.read(_BYTES)) and sink in self._plugged:
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass  # counts as an end, which is passed on
        if sink in self._plugged:
            sink.close()
            self._plugged.discard(sink)

    async def aclose(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for writer in self._pulled | self._plugged:
            writer.close()


@asynccontextmanager
async def cable(port: int) -> AsyncIterator[Cable]:
    """A cable to this port."""
    made = Cable(port)
    server = await asyncio.start_server(made.connect, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.aclose()

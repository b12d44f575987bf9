"""What the replies of engines without a server in between have in common with all others."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from serve_app.agent.llm.chunks import Chunk
from serve_app.agent.llm.round import Round


async def spoken(pieces: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """A reply without its thoughts. Raises EngineError for one in which nothing is said."""
    reply = Round()
    async with aclosing(pieces):
        async for piece in pieces:
            for said in reply.take(Chunk((piece,))):
                if isinstance(said, str):  # there are no tools to ask for
                    yield said
    for said in reply.end():
        if isinstance(said, str):
            yield said

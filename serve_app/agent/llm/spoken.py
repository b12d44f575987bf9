"""What the replies of engines without a server in between have in common with all others."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from serve_app.agent.llm.chunks import Chunk, Part
from serve_app.agent.llm.round import Round
from serve_app.agent.llm.tool_calls import ToolStep


async def spoken(
    pieces: AsyncGenerator[Part, None], steps: Sequence[ToolStep] = ()
) -> AsyncGenerator[str, None]:
    """A reply without its thoughts. `steps` are the rounds before it. Raises EngineError if nothing
    is said in all of them."""
    reply = Round((), steps)
    async with aclosing(pieces):
        async for piece in pieces:
            for said in reply.take(Chunk((piece,))):
                if isinstance(said, str):  # there are no tools to ask for
                    yield said
    for said in reply.end():
        if isinstance(said, str):
            yield said

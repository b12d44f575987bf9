"""A chat model in llama.cpp, for the tests of a module: the one of its `SETTINGS`."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from serve_app.agent.llm.local.llama_cpp import LlamaCpp


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def llm(request: pytest.FixtureRequest) -> AsyncIterator[LlamaCpp]:
    llm = LlamaCpp(request.module.SETTINGS)
    yield llm
    await llm.aclose()


async def at_rest(llm: LlamaCpp) -> None:
    """Until no thread writes: only then is counted what was read."""
    while llm._writing:
        await asyncio.wait(list(llm._writing))

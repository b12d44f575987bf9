"""What a session needs of its replica."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.ingress.driven import Replica


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    replica = Replica()
    running = asyncio.create_task(replica.services.batcher.run())
    yield replica
    running.cancel()

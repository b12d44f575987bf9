import pytest

from tests.conversation.talk import Talk


@pytest.fixture
def talk() -> Talk:
    return Talk()

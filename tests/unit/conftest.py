import pytest

from tests.unit.talk import Talk


@pytest.fixture
def talk() -> Talk:
    return Talk()

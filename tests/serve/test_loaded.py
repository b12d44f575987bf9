"""What the processes of a started server have loaded. tests/test_layering.py reads what they may
load from the source; this looks at what Serve really makes of it."""

import pytest

from tests.serve.conftest import Server

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]

MODEL_LIBRARIES = frozenset(
    {
        "torch", "transformers", "tokenizers", "onnxruntime", "soxr", "gruut", "openai",
        "elevenlabs", "mcp",
    }
)  # fmt: skip


def test_only_the_processes_that_run_models_load_their_libraries(server: Server) -> None:
    loaded: dict[str, list[str]] = server.ask("ask_modules", "::echo#", "::sessions-")
    found = {
        next(kind for kind in ("Ingress#", "sessions-", "VoiceActivity#", "") if kind in name): {
            module.split(".")[0] for module in modules
        }
        & MODEL_LIBRARIES
        for name, modules in loaded.items()
    }
    assert found["Ingress#"] == found["sessions-"] == set()
    assert found["VoiceActivity#"] == {"onnxruntime"}

"""`GET /v1/models`: what is configured, by the names that may be known."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import PurePath
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serve_app.access.credentials import NOBODY
from serve_app.ingress.access import Gate, Guest
from serve_app.ingress.health import is_of_this_machine
from serve_app.ingress.rest.guarded import Guarded
from serve_app.ingress.rest.refusals import HttpRefused
from serve_app.settings.base import PACKAGED
from serve_app.settings.schema import AppConfig

_PARTS: Final = (("chat", "echo-serve"), ("transcriber", "echo-serve"), ("voice", "echo-serve"))
"""For strangers, whom `/healthz` does not tell what runs here either."""
_PACKAGED_VOICE: Final = "heart"

Names = tuple[tuple[str, str], ...]
"""Of models, with whose they are."""


def model_routes(config: AppConfig, gate: Gate, env: Mapping[str, str]) -> list[Route]:
    """The list, and one of them. `config`: resolved."""
    names = tuple(dict(_names(config)).items())
    shown = partial(_shown, names, env)

    async def all_of_them(request: Request, guest: Guest) -> Response:
        data = [_model(*name) for name in shown(request, guest)]
        return JSONResponse({"object": "list", "data": data})

    async def one_of_them(request: Request, guest: Guest) -> Response:
        wanted = request.path_params["model"]
        for name in shown(request, guest):
            if name[0] == wanted:
                return JSONResponse(_model(*name))
        raise HttpRefused(404, "model_not_found", "no model has this name here", "model")

    return [
        Route("/v1/models", Guarded(gate, all_of_them), methods=["GET"]),
        Route("/v1/models/{model:path}", Guarded(gate, one_of_them), methods=["GET"]),
    ]


def _shown(names: Names, env: Mapping[str, str], request: Request, guest: Guest) -> Names:
    """To who has shown a key, and to callers of this machine, the models' own names."""
    peer = request.client.host if request.client else ""
    forwarded = request.headers.getlist("x-forwarded-for")
    has_key = guest.principal not in (None, NOBODY)
    return names if has_key or is_of_this_machine(peer, forwarded, env) else _PARTS


def _names(config: AppConfig) -> Iterator[tuple[str, str]]:
    """In the order in which they are asked. No addresses, and of paths only the last part."""
    for llm in config.agent.llms:
        yield _bare(llm.model), llm.provider
    yield config.stt.fetched_model or _bare(config.stt.model), "local"
    for tts in config.agent.voices:
        if tts.provider == "local":
            yield _PACKAGED_VOICE if tts.voice == PACKAGED else _bare(tts.voice), "local"
        else:
            yield tts.model_id if tts.provider == "elevenlabs" else tts.model, tts.provider


def _bare(model: str) -> str:
    """A name such as `openai/whisper-base` as it is, a path without its folders."""
    is_path = model.startswith(("/", ".", "~")) or model.endswith((".gguf", ".onnx"))
    return PurePath(model).name if is_path else model


def _model(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}

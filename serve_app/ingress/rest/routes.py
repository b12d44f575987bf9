"""OpenAI's HTTP API, as far as it is here."""

import os
from collections.abc import Callable

from starlette.routing import Route

from serve_app.ingress.access import Gate
from serve_app.ingress.rest.client_secrets import client_secret_routes
from serve_app.ingress.rest.models import model_routes
from serve_app.ingress.rest.speech import speech_routes
from serve_app.ingress.rest.transcriptions import transcription_routes
from serve_app.ingress.services import Services
from serve_app.ingress.wires import defaults
from serve_app.settings.schema import AppConfig


def rest_routes(config: AppConfig, gate: Gate, services: Callable[[], Services]) -> list[Route]:
    """`config`: resolved."""
    return [
        *client_secret_routes(gate, defaults(config.agent), config.ingress.limits.frames),
        *model_routes(config, gate, os.environ),
        *transcription_routes(config, gate, services),
        *speech_routes(config, gate, services),
    ]

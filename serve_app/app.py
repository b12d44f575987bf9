"""The composition root: the only place where the graph of deployments is wired.

`serve run configs/serve.yaml` and `serve deploy` call `build` with the file's `args`.
"""

import os
from typing import Any

import ray
from ray import serve
from ray.serve.config import DeploymentActorConfig

from deployments.agent import Agent
from deployments.ingress import Ingress
from deployments.session import SessionActor
from deployments.stt import SpeechToText
from deployments.vad import VoiceActivity
from serve_app.config import AppConfig, Replicas
from serve_app.plan import load, resolve
from serve_app.sessions import actor_name

_HEALTH: dict[str, Any] = {"health_check_period_s": 5, "health_check_timeout_s": 10}
_THREADS = {"GOMP_SPINCOUNT": "20000"}
"""OpenMP threads wait busily for each other. By default so long that processes which share few
cores starve each other (on two cores, an utterance of 3 s took up to 6 s to transcribe); not at
all, and a second thread gains nothing. This is about 50 us. Read when torch is loaded."""
_SPARE_REQUESTS = 16
"""Above our own limit, so that a full replica still answers: Serve's own refusal of a
WebSocket reaches the client as an HTTP 500."""


def build(args: dict[str, Any]) -> serve.Application:
    """The application. Raises ConfigError with one line that says what to change."""
    config = resolve(load(args, os.environ), os.environ, cluster_gpus())
    vad = _deployment(VoiceActivity, config.vad, max_ongoing_requests=16).bind(config.vad)
    stt = _deployment(
        SpeechToText,
        config.stt,
        num_gpus=config.stt.num_gpus,
        max_ongoing_requests=4 * config.stt.max_batch,
    ).bind(config.stt)
    agent = _deployment(
        Agent,
        config.agent,
        num_gpus=config.agent.num_gpus,
        max_ongoing_requests=config.agent.max_ongoing_replies,
    ).bind(config.agent)
    ingress = _deployment(
        serve.ingress()(Ingress),
        config.ingress,
        max_ongoing_requests=config.ingress.max_sessions + _SPARE_REQUESTS,
        deployment_actors=_session_actors(config),
    )
    return ingress.bind(config, vad, stt, agent)


def cluster_gpus() -> float:
    """GPUs of the cluster that we are connected to; 0 when there is none."""
    return float(ray.cluster_resources().get("GPU", 0)) if ray.is_initialized() else 0.0


def _deployment(
    cls: Any, replicas: Replicas, num_gpus: Any = 0.0, **options: Any
) -> serve.Deployment:
    return serve.deployment(
        num_replicas=replicas.replicas,
        ray_actor_options={
            "num_cpus": replicas.num_cpus,
            "num_gpus": num_gpus,
            "runtime_env": {"env_vars": _THREADS},
        },
        **_HEALTH,
        **options,
    )(cls)


def _session_actors(config: AppConfig) -> list[DeploymentActorConfig]:
    return [
        DeploymentActorConfig(
            name=actor_name(index),
            actor_class=SessionActor,
            actor_options={"num_cpus": config.sessions.num_cpus},
        )
        for index in range(config.sessions.actors)
    ]

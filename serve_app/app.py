"""The composition root: the only place that puts the graph of deployments together.

`serve run configs/serve.yaml` and `serve deploy` call `build` with the `args` of the file.
"""

import os
from typing import Any

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, DeploymentActorConfig
from ray.serve.schema import LoggingConfig

from deployments.agent import Agent
from deployments.ingress import Ingress
from deployments.scaling import ScaleBySessions, ScaleByWait
from deployments.session import SessionActor
from deployments.stt import SpeechToText
from deployments.vad import VoiceActivity
from serve_app.access.configured import absolute, check_access
from serve_app.agent.tools.factory import check_tools
from serve_app.records.check import check_records
from serve_app.sessions.handles import actor_name
from serve_app.settings.base import Pool, Replicas
from serve_app.settings.edge import hides_addresses
from serve_app.settings.environment import load
from serve_app.settings.resolve import resolve
from serve_app.settings.schema import AppConfig, SttSettings

_HEALTH: dict[str, Any] = {"health_check_period_s": 5, "health_check_timeout_s": 10}
_THREADS = {"GOMP_SPINCOUNT": "20000"}
"""OpenMP threads spin while they wait for each other. By default they spin for so long that
processes which share a few cores starve each other (on two cores, an utterance of 3 s took up to
6 s to transcribe); without any spinning, a second thread gains nothing. This value is about 50 us.
Read when torch is loaded."""
FORWARDED_FOR = {"FORWARDED_ALLOW_IPS": ""}
"""uvicorn would believe the X-Forwarded-For of whatever connects from 127.0.0.1, which is Ray's own
HAProxy, and HAProxy passes on what the client has made up. Whom we believe is `trusted_proxies`."""
_LOOK_BACK_S = 15.0
"""The period whose load counts when replicas are added or stopped. Replicas record their load five
times in it, and report it every 10 s (Serve's default)."""
_RUNNING_BATCHES = 4
"""Batches that may be under way, each put aside for the next, and one to spare. So Serve, which
does not know how urgent requests are, never queues any."""
_SPARE_REQUESTS = 16
"""Above our own limit, so that a full replica still answers: if Serve itself refuses a WebSocket,
the client sees an HTTP 500."""


def build(args: dict[str, Any]) -> serve.Application:
    """The application. Raises ConfigError with one line that says what to change."""
    config = resolve(load(args, os.environ), os.environ, cluster_gpus())
    check_tools(config.agent, os.environ)
    check_access(config, os.environ, hides_addresses(os.environ))
    check_records(config, os.environ)
    config = config.model_copy(update={"access": absolute(config.access)})
    vad = _deployment(
        VoiceActivity,
        config.vad,
        max_ongoing_requests=16,
        # At 60 calls a second, a line for each costs more than it is worth.
        logging_config=LoggingConfig(enable_access_log=False),
    ).bind(config.vad)
    stt = transcribers(config.stt)
    agent = _deployment(
        Agent,
        config.agent,
        num_gpus=config.agent.num_gpus,
        max_ongoing_requests=config.agent.max_ongoing_replies,
    ).bind(config.agent)
    ingress = _deployment(
        serve.ingress()(Ingress),
        config.ingress,
        max_ongoing_requests=config.ingress.max_requests + _SPARE_REQUESTS,
        deployment_actors=_session_actors(config),
        graceful_shutdown_timeout_s=config.ingress.drain_timeout_s,
        **_scaling(config.ingress, ScaleBySessions, target_sessions=config.ingress.sessions_wanted),
    )
    return ingress.bind(config, vad, stt, agent)


def transcribers(stt: SttSettings) -> serve.Application:
    """The transcribers of a resolved configuration."""
    deployment = _deployment(
        SpeechToText,
        stt,
        num_gpus=stt.num_gpus,
        max_ongoing_requests=stt.max_waiting + _RUNNING_BATCHES * stt.max_batch,
        **_scaling(stt, ScaleByWait, target_wait_ms=stt.target_wait_ms),
    )
    return deployment.bind(stt)


def cluster_gpus() -> float:
    """The GPUs of the cluster that this process is connected to; 0 if it is connected to none."""
    return float(ray.cluster_resources().get("GPU", 0)) if ray.is_initialized() else 0.0


def _deployment(
    cls: Any, replicas: Replicas, num_gpus: Any = 0.0, **options: Any
) -> serve.Deployment:
    options.setdefault("num_replicas", replicas.replicas)
    return serve.deployment(
        ray_actor_options={
            "num_cpus": replicas.num_cpus,
            "num_gpus": num_gpus,
            "runtime_env": {"env_vars": _THREADS | FORWARDED_FOR},
        },
        **_HEALTH,
        **options,
    )(cls)


def _scaling(pool: Pool, policy: type, **policy_settings: Any) -> dict[str, Any]:
    """Options that let the policy decide the number of replicas; empty if the number is fixed."""
    if pool.max_replicas <= pool.replicas:
        return {}
    scaling = AutoscalingConfig(
        min_replicas=pool.replicas,
        max_replicas=pool.max_replicas,
        look_back_period_s=_LOOK_BACK_S,
        upscale_delay_s=pool.upscale_delay_s,
        downscale_delay_s=pool.downscale_delay_s,
        policy=AutoscalingPolicy(policy_function=policy, policy_kwargs=policy_settings),
    )
    # Serve takes a fixed number or a range, not both.
    return {"num_replicas": None, "autoscaling_config": scaling}


def _session_actors(config: AppConfig) -> list[DeploymentActorConfig]:
    return [
        DeploymentActorConfig(
            name=actor_name(index),
            actor_class=ray.remote(SessionActor),
            init_args=(config.sessions,),
            actor_options={"num_cpus": config.sessions.num_cpus},
        )
        for index in range(config.sessions.actors)
    ]

"""What our manifests, our configuration and Ray have to agree on: placement, room, and how long a
call may go on. Each rule returns what is wrong, one line each."""

import tomllib
from typing import Any

from serve_app.ingress.serve_headers import CALLBACK
from serve_app.settings.schema import AppConfig
from tests.manifests.objects import (
    ROOT,
    Objects,
    container,
    cpus_of,
    env,
    gpus_of,
    name_of,
)
from tests.manifests.operator_rules import Rule

_DIRECT_INGRESS_BUFFER_S = 5
"""Serve raises an ingress deployment's graceful_shutdown_timeout_s to at least the draining period
plus this (RAY_SERVE_DIRECT_INGRESS_SHUTDOWN_BUFFER_S of Ray 2.60)."""
_START_S = 30
"""Time for new replicas to start elsewhere before old ones are told to stop."""


def one_image_and_one_ray(objects: Objects) -> list[str]:
    """Ray and Python must be the same on all nodes."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (pin,) = (d.split("==")[1] for d in dependencies if d.startswith("ray[serve]=="))
    images = {container(group)["image"] for group in objects.groups}
    found = [] if len(images) == 1 else [f"several images: {sorted(images)}"]
    version = objects.cluster["rayVersion"]
    return found if version == pin else [*found, f"rayVersion {version}, but {pin} is installed"]


def the_head_holds_no_replicas(objects: Objects) -> list[str]:
    found = [] if cpus_of(objects.head) == 0 else ["the head has CPUs for replicas"]
    if not objects.spec.get("excludeHeadPodFromServeSvc"):
        found.append("sockets go through the head")
    return found


def two_workers_hold_sockets(objects: Objects) -> list[str]:
    minimum = sum(g["minReplicas"] for g in objects.workers if cpus_of(g) > 0)
    return [] if minimum >= 2 else [f"{minimum} worker"]


def the_transcribers_have_their_gpus(objects: Objects) -> list[str]:
    stt = objects.config.stt
    assert stt.num_gpus != "auto"
    offered = sum(gpus_of(group) * group["maxReplicas"] for group in objects.workers)
    wanted = stt.num_gpus * max(stt.replicas, stt.max_replicas)
    found = [] if offered >= wanted else [f"{wanted} GPUs are wanted, {offered} offered"]
    fits = [g for g in objects.workers if gpus_of(g) >= stt.num_gpus and cpus_of(g) >= stt.num_cpus]
    if wanted and not fits:
        found.append("no node fits a transcriber")
    if wanted > 0 and stt.max_replicas > stt.replicas and not objects.autoscales:
        found.append("the pool grows, but the cluster does not")
    return found


def gpu_nodes_are_for_transcribers_only(objects: Objects) -> list[str]:
    groups = [group for group in objects.workers if gpus_of(group)]
    found = [f"{name_of(g)} offers CPUs to everything" for g in groups if cpus_of(g) > 0]
    config = objects.config
    stages = {
        "ingress": config.ingress,
        "sessions": config.sessions,
        "vad": config.vad,
        "agent": config.agent,
    }
    found += [f"{name} asks for no CPU" for name, s in stages.items() if groups and not s.num_cpus]
    for group in groups:
        pod = group["template"]["spec"]
        if not pod.get("nodeSelector"):
            found.append(f"{name_of(group)} has no node selector")
        if not any(t["key"] == "nvidia.com/gpu" for t in pod.get("tolerations", [])):
            found.append(f"{name_of(group)} does not tolerate the taint of GPU nodes")
    return found


def the_cpu_workers_have_room(objects: Objects) -> list[str]:
    """For everything but transcribers with a GPU. A group that has grown has room for all that the
    pools may grow to, twice: in a rolling update all new replicas run before the first old one
    has drained."""
    groups = [group for group in objects.workers if not gpus_of(group)]
    always, grown = (sum(cpus_of(g) * g[n] for g in groups) for n in ("minReplicas", "maxReplicas"))
    at_least, at_most = _cpus_wanted(objects.config)
    found = [] if at_least <= always else [f"{at_least} CPUs are wanted, {always} offered"]
    return found if 2 * at_most <= grown else [*found, f"an update has no room in {grown} CPUs"]


def _cpus_wanted(config: AppConfig) -> tuple[float, float]:
    """With as few replicas as possible, and with as many as possible."""
    pools = [config.ingress] + ([] if config.stt.num_gpus else [config.stt])
    fixed = [config.vad, config.agent]
    cpus = sum(stage.replicas * stage.num_cpus for stage in fixed)
    cpus += config.sessions.actors * config.sessions.num_cpus
    at_least = sum(pool.replicas * pool.num_cpus for pool in pools)
    at_most = sum(max(pool.replicas, pool.max_replicas) * pool.num_cpus for pool in pools)
    return cpus + at_least, cpus + at_most


def a_grown_ingress_has_nodes_and_time(objects: Objects) -> list[str]:
    """There are new nodes when there are more sessions, and replicas drain one after the other."""
    ingress = objects.config.ingress
    if ingress.max_replicas <= ingress.replicas:
        return []
    found = [] if objects.autoscales else ["the ingress grows, but the cluster does not"]
    drain_s = max(_drain_s(group) for group in objects.workers)
    if ingress.downscale_delay_s < drain_s:
        found.append(f"the next replica goes while one drains for {drain_s} s")
    return found


def _drain_s(group: Any) -> float:
    """How long an ingress replica takes to stop."""
    return float(env(group).get("RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S", 30))


def calls_may_end_before_their_process(objects: Objects) -> list[str]:
    """Deletion delay >= draining period; what Serve needs to drain < what Ray waits < what the
    kubelet waits; and HAProxy's old process outlives all of that."""
    found = []
    delay_s = objects.spec.get("rayClusterDeletionDelaySeconds", 60)
    for group in objects.workers:
        variables = env(group)
        drain_s = _drain_s(group)
        node_s = float(variables.get("RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", 30))
        pod_s = group["template"]["spec"].get("terminationGracePeriodSeconds", 30)
        haproxy_s = float(variables.get("RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S", 120))
        needed_s = drain_s + _DIRECT_INGRESS_BUFFER_S + _START_S
        checks = {
            f"the old cluster is deleted after {delay_s} s": delay_s >= drain_s,
            f"Ray waits {node_s} s of {needed_s} s": node_s >= needed_s,
            f"the kubelet kills after {pod_s} s": pod_s > node_s,
            f"haproxy cuts sockets after {haproxy_s} s": haproxy_s >= node_s,
            "a preStop hook ends Ray at once": "lifecycle" not in container(group),
        }
        found += [f"{name_of(group)}: {text}" for text, good in checks.items() if not good]
    return found


def serve_has_one_environment(objects: Objects) -> list[str]:
    """Controller, proxies and replicas read the same variables on different nodes."""
    per_group = {
        name_of(group): {k: v for k, v in env(group).items() if k.startswith("RAY_SERVE_")}
        for group in objects.groups
    }
    return [name for name, variables in per_group.items() if variables != per_group["head"]]


def nothing_ends_a_call_by_the_clock(objects: Objects) -> list[str]:
    found = []
    if "request_timeout_s" in objects.serve.get("http_options", {}):
        found.append("request_timeout_s is the longest call")
    for rule in (r for route in objects.of("HTTPRoute") for r in route["spec"]["rules"]):
        if set(rule.get("timeouts", {}).items()) != {("request", "0s"), ("backendRequest", "0s")}:
            found.append("the route has a timeout")
        removed = [
            header.lower()
            for f in rule.get("filters", [])
            for header in f.get("requestHeaderModifier", {}).get("remove", [])
        ]
        if "x-request-timeout-seconds" not in removed:
            found.append("a client can set Serve's deadline")
    return found


def no_client_steers_serve(objects: Objects) -> list[str]:
    """Proxies and ingress replicas take Serve's own headers out of what clients send."""
    variable = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
    return [name_of(g) for g in objects.groups if env(g).get(variable) != CALLBACK]


OUR_RULES: list[Rule] = [
    one_image_and_one_ray,
    the_head_holds_no_replicas,
    two_workers_hold_sockets,
    the_transcribers_have_their_gpus,
    gpu_nodes_are_for_transcribers_only,
    the_cpu_workers_have_room,
    a_grown_ingress_has_nodes_and_time,
    calls_may_end_before_their_process,
    serve_has_one_environment,
    nothing_ends_a_call_by_the_clock,
    no_client_steers_serve,
]

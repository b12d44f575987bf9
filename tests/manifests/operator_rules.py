"""What KubeRay's operator demands beyond its CRD: ray-operator/controllers/ray/utils/validation.go
of v1.7, as far as it concerns a RayService. Each rule returns what is wrong, one line each."""

import re
from collections.abc import Callable

from tests.manifests.objects import Objects, container, env, name_of

Rule = Callable[[Objects], list[str]]

_MAX_NAME = 47
"""MaxRayServiceNameLength: the cluster's name gets a suffix, and its Services' names too."""
_TOKEN_AUTH_SINCE = (2, 52)
_PRIORITY_SINCE = (2, 56)


def ray_version(objects: Objects) -> tuple[int, ...]:
    return tuple(int(part) for part in objects.cluster["rayVersion"].split("."))


def the_name_is_short_and_a_dns_label(objects: Objects) -> list[str]:
    name = objects.rayservice["metadata"]["name"]
    good = re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) and len(name) <= _MAX_NAME
    return [] if good else [f"name {name}"]


def the_head_service_has_no_name(objects: Objects) -> list[str]:
    service = objects.head.get("headService", {})
    return ["headService has a name"] if service.get("metadata", {}).get("name") else []


def every_group_has_a_container_and_start_parameters(objects: Objects) -> list[str]:
    return [
        name_of(group)
        for group in objects.groups
        if not group["template"]["spec"].get("containers") or "rayStartParams" not in group
    ]


def replicas_are_within_bounds(objects: Objects) -> list[str]:
    found = []
    for group in objects.workers:
        low, high = group.get("minReplicas"), group.get("maxReplicas")
        if low is None or high is None:
            if not objects.autoscales:
                found.append(f"{name_of(group)}: both bounds are needed without the autoscaler")
        elif not 0 <= low <= group.get("replicas", low) <= high:
            found.append(f"{name_of(group)}: {low} to {high}")
    return found


def resources_are_said_once(objects: Objects) -> list[str]:
    counted = {"num-cpus", "num-gpus", "memory", "resources"}
    return [
        name_of(group)
        for group in objects.groups
        if group.get("resources") and counted & set(group["rayStartParams"])
    ]


def ray_labels_are_no_start_parameter(objects: Objects) -> list[str]:
    return [name_of(group) for group in objects.groups if "labels" in group["rayStartParams"]]


def redis_is_named_in_its_options_only(objects: Objects) -> list[str]:
    named = {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME"} & set(env(objects.head))
    named |= {"redis-password", "redis-username"} & set(objects.head["rayStartParams"])
    annotations = objects.rayservice["metadata"].get("annotations", {})
    named |= {"ray.io/ft-enabled", "ray.io/external-storage-namespace"} & set(annotations)
    if objects.cluster.get("gcsFaultToleranceOptions", {}).get("storage"):
        named.add("storage, which is for rocksdb")
    return sorted(named)


def the_autoscaler_is_asked_for_once(objects: Objects) -> list[str]:
    if not objects.autoscales:
        return ["env, but no autoscaler"] * ("RAY_enable_autoscaler_v2" in env(objects.head))
    found = []
    if "RAY_enable_autoscaler_v2" in env(objects.head):
        found.append("RAY_enable_autoscaler_v2 as well as autoscalerOptions.version")
    if objects.cluster.get("autoscalerOptions", {}).get("idleTimeoutSeconds", 0) < 0:
        found.append("idleTimeoutSeconds")
    return found


def pods_of_autoscaler_v2_do_not_restart(objects: Objects) -> list[str]:
    if not objects.autoscales:
        return []
    policies = [group["template"]["spec"].get("restartPolicy", "Never") for group in objects.groups]
    return [policy for policy in policies if policy != "Never"]


def groups_of_an_autoscaler_are_not_suspended(objects: Objects) -> list[str]:
    return [name_of(group) for group in objects.workers if group.get("suspend")]


def what_needs_autoscaler_v2_has_it(objects: Objects) -> list[str]:
    v2 = objects.autoscales and objects.cluster.get("autoscalerOptions", {}).get("version") == "v2"
    found = []
    for group in objects.workers:
        if ("idleTimeoutSeconds" in group or group.get("priority")) and not v2:
            found.append(name_of(group))
        if group.get("priority") and ray_version(objects) < _PRIORITY_SINCE:
            found.append(f"{name_of(group)}: priority")
    return found


def token_authentication_is_possible(objects: Objects) -> list[str]:
    options = objects.cluster.get("authOptions", {})
    found = []
    if options.get("enableK8sTokenAuth"):
        found.append("a RayService cannot have the tokens of Kubernetes")
    if options.get("mode", "token") == "token" and ray_version(objects) < _TOKEN_AUTH_SINCE:
        found.append("Ray is too old for tokens")
    return found


def an_incremental_upgrade_is_complete(objects: Objects) -> list[str]:
    strategy = objects.spec.get("upgradeStrategy", {})
    if strategy.get("type") != "NewClusterWithIncrementalUpgrade":
        return []
    options = strategy.get("clusterUpgradeOptions", {})
    step, surge = options.get("stepSizePercent", -1), options.get("maxSurgePercent", 100)
    checks = {
        "it needs the autoscaler": objects.autoscales,
        "0 <= stepSizePercent <= maxSurgePercent <= 100": 0 <= step <= surge <= 100,
        "intervalSeconds > 0": options.get("intervalSeconds", 0) > 0,
        "gatewayClassName": bool(options.get("gatewayClassName")),
    }
    return [text for text, good in checks.items() if not good]


def the_head_names_the_serve_port(objects: Objects) -> list[str]:
    names = [port["name"] for port in container(objects.head).get("ports", [])]
    return [] if any(n == "serve" or n.startswith("serve-") for n in names) else [str(names)]


OPERATOR_RULES: list[Rule] = [
    the_name_is_short_and_a_dns_label,
    the_head_service_has_no_name,
    every_group_has_a_container_and_start_parameters,
    replicas_are_within_bounds,
    resources_are_said_once,
    ray_labels_are_no_start_parameter,
    redis_is_named_in_its_options_only,
    the_autoscaler_is_asked_for_once,
    pods_of_autoscaler_v2_do_not_restart,
    groups_of_an_autoscaler_are_not_suspended,
    what_needs_autoscaler_v2_has_it,
    token_authentication_is_possible,
    an_incremental_upgrade_is_complete,
    the_head_names_the_serve_port,
]

"""What the objects of a cluster say about each other: secrets, labels, ports, users. Each rule
returns what is wrong, one line each."""

import re
from collections.abc import Iterator
from typing import Any

from tests.manifests.objects import ROOT, Objects, container, name_of, ports, selects
from tests.manifests.operator_rules import Rule

_OPERATOR_PORTS = {"metrics": 8080, "as-metrics": 44217, "dash-metrics": 44227, "agent": 52365}
"""Ports that KubeRay adds to pods."""


def every_secret_is_made_by_somebody(objects: Objects) -> list[str]:
    """By an object here or by a command in the runbook."""
    known = {
        (o["metadata"]["name"], key) for o in objects.of("Secret") for key in o["stringData"]
    } | set(_secrets_of_the_runbook())
    return [str(ref) for ref in _secret_references(objects.all) if ref not in known]


def _secrets_of_the_runbook() -> Iterator[tuple[str, str]]:
    text = (ROOT / "k8s/README.md").read_text().replace("\\\n", " ")
    for name, rest in re.findall(r"create secret generic (\S+)(.*)", text):
        for key in re.findall(r"--from-literal=([\w-]+)=", rest):
            yield name, key


def _secret_references(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for item in node:
            yield from _secret_references(item)
    elif isinstance(node, dict):
        if reference := node.get("secretKeyRef"):
            yield reference["name"], reference["key"]
        for value in node.values():
            yield from _secret_references(value)


def no_secret_is_written_down(objects: Objects) -> list[str]:
    secret = re.compile(r"key|token|password", re.IGNORECASE)
    found = [
        f"{name_of(g)}: {e['name']}"
        for g in objects.groups
        for e in container(g).get("env", [])
        if secret.search(e["name"]) and "value" in e
    ]
    if "runtime_env" in objects.spec["serveConfigV2"]:
        found.append("a runtime_env is shown in the dashboard and in logs")
    return found


def budgets_leave_something_to_evict(objects: Objects) -> list[str]:
    """A RayCluster has no scale subresource: whole numbers of own pods only."""
    found = []
    for budget in objects.of("PodDisruptionBudget"):
        name, spec = budget["metadata"]["name"], budget["spec"]
        of = [g for g in objects.groups if selects(spec["selector"], g["template"])]
        if len(of) != 1:
            found.append(f"{name} is for {len(of)} groups")
        elif not isinstance(spec.get("minAvailable"), int) or "maxUnavailable" in spec:
            found.append(f"{name}: a whole number as minAvailable")
        elif of[0] is not objects.head and spec["minAvailable"] >= of[0]["minReplicas"]:
            found.append(f"{name} forbids every eviction")
    guarded = {b["metadata"]["name"] for b in objects.of("PodDisruptionBudget")}
    return found + sorted({"echo-head", "echo-cpu"} - guarded)


def the_serve_port_is_one(objects: Objects) -> list[str]:
    """KubeRay's probes and Service go by the container port `serve`."""
    port = objects.serve["http_options"]["port"]
    service = {p["name"]: p for p in objects.spec["serveService"]["spec"]["ports"]}
    found = [name_of(g) for g in objects.groups if ports(g["template"]).get("serve", 8000) != port]
    if service["serve"]["port"] != port or service["serve"]["targetPort"] != "serve":
        found.append("serveService")
    for route in objects.of("HTTPRoute"):
        backends = [b for rule in route["spec"]["rules"] for b in rule["backendRefs"]]
        name = f"{objects.rayservice['metadata']['name']}-serve-svc"
        found += [str(b) for b in backends if (b["name"], b["port"]) != (name, port)]
    return found


def metrics_ports_exist(objects: Objects) -> list[str]:
    found = []
    for monitor in objects.of("PodMonitor"):
        of = [g for g in objects.groups if selects(monitor["spec"]["selector"], g["template"])]
        if not of:
            found.append(f"{monitor['metadata']['name']} selects nothing")
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            added = {"metrics"} if objects.head not in of else set(_OPERATOR_PORTS)
            missing = [g for g in of if endpoint["port"] not in added | set(ports(g["template"]))]
            found += [f"{name_of(g)} has no port {endpoint['port']}" for g in missing]
    return found


def policies_let_through_what_must_pass(objects: Objects) -> list[str]:
    """Ray between its pods, calls, the operator and Prometheus; and each policy selects a pod."""
    templates = list(objects.pod_templates())
    found = [
        f"{policy['metadata']['name']} selects nothing"
        for policy in objects.of("NetworkPolicy")
        if not any(selects(policy["spec"]["podSelector"], t) for t in templates)
    ]
    for group in objects.groups:
        rules = [
            rule
            for policy in objects.of("NetworkPolicy")
            if selects(policy["spec"]["podSelector"], group["template"])
            for rule in policy["spec"]["ingress"]
        ]
        if not any("ports" not in rule for rule in rules):
            found.append(f"{name_of(group)}: Ray among its pods")
        open_ports = {p["port"] for rule in rules for p in rule.get("ports", [])}
        wanted = {"serve", 8080} | ({"dashboard"} if group is objects.head else {9101})
        found += [f"{name_of(group)}: port {p}" for p in wanted - open_ports]
    return found


def redis_is_where_the_head_looks(objects: Objects) -> list[str]:
    host, _, port = objects.cluster["gcsFaultToleranceOptions"]["redisAddress"].partition(":")
    for service in objects.of("Service"):
        if service["metadata"]["name"] == host:
            pods = [
                t
                for t in objects.pod_templates()
                if selects({"matchLabels": service["spec"]["selector"]}, t)
            ]
            (entry,) = service["spec"]["ports"]
            good = pods and str(entry["port"]) == port and entry["targetPort"] in ports(pods[0])
            return [] if good else [f"{host} leads to no Redis"]
    return [f"there is no Service {host}"]


def no_pod_is_root(objects: Objects) -> list[str]:
    return [
        f"{_component(template)} may be root"
        for template in objects.pod_templates()
        if not template["spec"].get("securityContext", {}).get("runAsNonRoot")
    ]


def system_calls_are_filtered(objects: Objects) -> list[str]:
    return [
        f"{_component(template)} may use every system call"
        for template in objects.pod_templates()
        if template["spec"].get("securityContext", {}).get("seccompProfile")
        != {"type": "RuntimeDefault"}
    ]


def no_container_has_rights(objects: Objects) -> list[str]:
    wanted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    return [
        f"{name}: {key}"
        for name, of in _containers(objects)
        for key, value in wanted.items()
        if of.get("securityContext", {}).get(key) != value
    ]


def what_is_written_has_a_place(objects: Objects) -> list[str]:
    """Ray and downloads write to /tmp, Redis to its volume."""
    return [
        f"{name} has nothing to write to"
        for name, of in _containers(objects)
        if not {"/tmp", "/data"} & {mount["mountPath"] for mount in of.get("volumeMounts", [])}
    ]


def only_the_head_can_ask_kubernetes(objects: Objects) -> list[str]:
    """Its autoscaler makes pods."""
    return [
        f"{_component(template)} has a token of Kubernetes"
        for template in objects.pod_templates()
        if template is not objects.head["template"]
        and template["spec"].get("automountServiceAccountToken") is not False
    ]


def _component(template: Any) -> str:
    return str(template["metadata"]["labels"]["app.kubernetes.io/component"])


def _containers(objects: Objects) -> Iterator[tuple[str, Any]]:
    """With the one that KubeRay adds to the head's pod."""
    if objects.autoscales:
        yield "autoscaler", objects.cluster.get("autoscalerOptions", {})
    for template in objects.pod_templates():
        for of in template["spec"]["containers"]:
            yield f"{_component(template)}: {of['name']}", of


WIRING_RULES: list[Rule] = [
    every_secret_is_made_by_somebody,
    no_secret_is_written_down,
    budgets_leave_something_to_evict,
    the_serve_port_is_one,
    metrics_ports_exist,
    policies_let_through_what_must_pass,
    redis_is_where_the_head_looks,
    no_pod_is_root,
    system_calls_are_filtered,
    no_container_has_rights,
    what_is_written_has_a_place,
    only_the_head_can_ask_kubernetes,
]

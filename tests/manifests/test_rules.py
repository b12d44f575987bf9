"""Each rule is kept by the manifests, and catches a mistake that is made on purpose."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.manifests import operator_rules as operator
from tests.manifests import our_rules as ours
from tests.manifests import wiring_rules as wiring
from tests.manifests.kustomize import render
from tests.manifests.objects import ROOT, Objects, container
from tests.manifests.operator_rules import OPERATOR_RULES, Rule
from tests.manifests.our_rules import OUR_RULES
from tests.manifests.wiring_rules import WIRING_RULES

RULES = OPERATOR_RULES + OUR_RULES + WIRING_RULES
LOCAL, GPU = ROOT / "k8s/overlays/local", ROOT / "k8s/overlays/gpu-cloud"
VOLUME = ROOT / "k8s/components/model-volume"
RENDERED = {
    "base": render(ROOT / "k8s/base"),
    "local": render(LOCAL),
    "gpu-cloud": render(GPU),
    "gpu-cloud with the volume": render(GPU, [VOLUME]),
}
Mistake = Callable[[Objects], Any]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", RENDERED)
def test_a_rule_holds(name: str, rule: Rule) -> None:
    assert rule(Objects(copy.deepcopy(RENDERED[name]))) == []


def _env(group: Any, name: str, value: str) -> None:
    entries = container(group)["env"]
    entries[:] = [e for e in entries if e["name"] != name] + [{"name": name, "value": value}]


def _gpu(o: Objects) -> Any:
    return o.workers[1]


def _security(o: Objects) -> Any:
    return container(_gpu(o))["securityContext"]


def _pod_security(o: Objects) -> Any:
    return _gpu(o)["template"]["spec"]["securityContext"]


def _in_config(o: Objects, old: str, new: str) -> None:
    assert old in o.spec["serveConfigV2"]
    o.spec["serveConfigV2"] = o.spec["serveConfigV2"].replace(old, new)


def _in_ingress(o: Objects, **changes: Any) -> None:
    serve = o.serve
    serve["applications"][0]["args"]["ingress"] |= changes
    o.spec["serveConfigV2"] = yaml.safe_dump(serve)


def _first(o: Objects, kind: str) -> Any:
    return o.of(kind)[0]["spec"]


def _incremental(o: Objects, autoscaler: bool = True, **options: Any) -> None:
    o.cluster["enableInTreeAutoscaling"] = autoscaler
    good = {"stepSizePercent": 20, "intervalSeconds": 60, "gatewayClassName": "istio"}
    o.spec["upgradeStrategy"] = {
        "type": "NewClusterWithIncrementalUpgrade",
        "clusterUpgradeOptions": good | options,
    }


MISTAKES: list[tuple[Rule, Mistake]] = [
    (
        operator.the_name_is_short_and_a_dns_label,
        lambda o: o.rayservice["metadata"].update(name="e" * 48),
    ),
    (
        operator.the_name_is_short_and_a_dns_label,
        lambda o: o.rayservice["metadata"].update(name="Echo_1"),
    ),
    (
        operator.the_head_service_has_no_name,
        lambda o: o.head.update(headService={"metadata": {"name": "head"}}),
    ),
    (
        operator.every_group_has_a_container_and_start_parameters,
        lambda o: _gpu(o).pop("rayStartParams"),
    ),
    (operator.replicas_are_within_bounds, lambda o: _gpu(o).update(minReplicas=5)),
    (operator.replicas_are_within_bounds, lambda o: _gpu(o).update(replicas=5)),
    (
        operator.replicas_are_within_bounds,
        lambda o: (o.cluster.pop("enableInTreeAutoscaling"), _gpu(o).pop("maxReplicas")),
    ),
    (operator.resources_are_said_once, lambda o: _gpu(o).update(resources={"CPU": "4"})),
    (
        operator.ray_labels_are_no_start_parameter,
        lambda o: _gpu(o)["rayStartParams"].update(labels="a=b"),
    ),
    (
        operator.redis_is_named_in_its_options_only,
        lambda o: _env(o.head, "RAY_REDIS_ADDRESS", "echo-redis:6379"),
    ),
    (
        operator.redis_is_named_in_its_options_only,
        lambda o: o.head["rayStartParams"].update({"redis-password": "x"}),
    ),
    (
        operator.the_autoscaler_is_asked_for_once,
        lambda o: _env(o.head, "RAY_enable_autoscaler_v2", "1"),
    ),
    (
        operator.pods_of_autoscaler_v2_do_not_restart,
        lambda o: _gpu(o)["template"]["spec"].update(restartPolicy="Always"),
    ),
    (operator.groups_of_an_autoscaler_are_not_suspended, lambda o: _gpu(o).update(suspend=True)),
    (
        operator.what_needs_autoscaler_v2_has_it,
        lambda o: (
            o.cluster["autoscalerOptions"].update(version="v1"),
            _gpu(o).update(idleTimeoutSeconds=60),
        ),
    ),
    (
        operator.token_authentication_is_possible,
        lambda o: o.cluster["authOptions"].update(enableK8sTokenAuth=True),
    ),
    (operator.token_authentication_is_possible, lambda o: o.cluster.update(rayVersion="2.51.0")),
    (operator.an_incremental_upgrade_is_complete, lambda o: _incremental(o, autoscaler=False)),
    (operator.an_incremental_upgrade_is_complete, lambda o: _incremental(o, stepSizePercent=101)),
    (operator.an_incremental_upgrade_is_complete, lambda o: _incremental(o, intervalSeconds=0)),
    (operator.an_incremental_upgrade_is_complete, lambda o: _incremental(o, gatewayClassName="")),
    (
        operator.the_head_names_the_serve_port,
        lambda o: container(o.head)["ports"].pop(),
    ),
    (ours.one_image_and_one_ray, lambda o: container(_gpu(o)).update(image="echo-serve:0.0.9")),
    (ours.one_image_and_one_ray, lambda o: o.cluster.update(rayVersion="2.59.0")),
    (ours.the_head_holds_no_replicas, lambda o: o.head["rayStartParams"].pop("num-cpus")),
    (ours.the_head_holds_no_replicas, lambda o: o.spec.pop("excludeHeadPodFromServeSvc")),
    (ours.two_workers_hold_sockets, lambda o: o.workers[0].update(minReplicas=1)),
    (ours.the_transcribers_have_their_gpus, lambda o: _gpu(o).update(maxReplicas=3)),
    (
        ours.the_transcribers_have_their_gpus,
        lambda o: _in_config(o, "num_cpus: 0  ", "num_cpus: 2  "),
    ),
    (ours.the_transcribers_have_their_gpus, lambda o: o.cluster.pop("enableInTreeAutoscaling")),
    (
        ours.gpu_nodes_are_for_transcribers_only,
        lambda o: _gpu(o)["rayStartParams"].pop("num-cpus"),
    ),
    (
        ours.gpu_nodes_are_for_transcribers_only,
        lambda o: _in_config(o, "actors: 2, num_cpus: 0.1", "actors: 2, num_cpus: 0"),
    ),
    (
        ours.gpu_nodes_are_for_transcribers_only,
        lambda o: _gpu(o)["template"]["spec"].pop("tolerations"),
    ),
    (
        ours.gpu_nodes_are_for_transcribers_only,
        lambda o: _gpu(o)["template"]["spec"].pop("nodeSelector"),
    ),
    (ours.the_cpu_workers_have_room, lambda o: _in_ingress(o, replicas=6)),
    (ours.the_cpu_workers_have_room, lambda o: _in_ingress(o, max_replicas=6)),
    (ours.the_cpu_workers_have_room, lambda o: o.workers[0].update(maxReplicas=2)),
    (
        ours.a_grown_ingress_has_nodes_and_time,
        lambda o: o.cluster.pop("enableInTreeAutoscaling"),
    ),
    (
        ours.a_grown_ingress_has_nodes_and_time,
        lambda o: _in_ingress(o, downscale_delay_s=300),
    ),
    (
        ours.calls_may_end_before_their_process,
        lambda o: o.spec.pop("rayClusterDeletionDelaySeconds"),
    ),
    (
        ours.calls_may_end_before_their_process,
        lambda o: _env(_gpu(o), "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", "900"),
    ),
    (
        ours.calls_may_end_before_their_process,
        lambda o: _gpu(o)["template"]["spec"].update(terminationGracePeriodSeconds=960),
    ),
    (
        ours.calls_may_end_before_their_process,
        lambda o: _env(_gpu(o), "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S", "120"),
    ),
    (
        ours.calls_may_end_before_their_process,
        lambda o: container(_gpu(o)).update(lifecycle={"preStop": {"exec": {"command": ["ray"]}}}),
    ),
    (
        ours.serve_has_one_environment,
        lambda o: _env(_gpu(o), "RAY_SERVE_ENABLE_HA_PROXY", "0"),
    ),
    (
        ours.nothing_ends_a_call_by_the_clock,
        lambda o: _in_config(o, "http_options:\n", "http_options:\n  request_timeout_s: 60\n"),
    ),
    (
        ours.nothing_ends_a_call_by_the_clock,
        lambda o: _first(o, "HTTPRoute")["rules"][0]["timeouts"].update(request="15s"),
    ),
    (
        ours.nothing_ends_a_call_by_the_clock,
        lambda o: _first(o, "HTTPRoute")["rules"][0].pop("filters"),
    ),
    (
        ours.no_client_steers_serve,
        lambda o: _env(_gpu(o), "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", ""),
    ),
    (
        wiring.every_secret_is_made_by_somebody,
        lambda o: container(_gpu(o))["env"][-1]["valueFrom"]["secretKeyRef"].update(key="ELEVEN"),
    ),
    (wiring.no_secret_is_written_down, lambda o: _env(_gpu(o), "OPENAI_API_KEY", "sk-1")),
    (
        wiring.budgets_leave_something_to_evict,
        lambda o: _first(o, "PodDisruptionBudget").update(minAvailable="50%"),
    ),
    (
        wiring.budgets_leave_something_to_evict,
        lambda o: o.of("PodDisruptionBudget")[1]["spec"].update(minAvailable=2),
    ),
    (
        wiring.budgets_leave_something_to_evict,
        lambda o: _first(o, "PodDisruptionBudget")["selector"]["matchLabels"].update(x="y"),
    ),
    (wiring.the_serve_port_is_one, lambda o: _in_config(o, "port: 4000", "port: 8000")),
    (wiring.the_serve_port_is_one, lambda o: container(_gpu(o))["ports"].pop(0)),
    (
        wiring.the_serve_port_is_one,
        lambda o: _first(o, "HTTPRoute")["rules"][0]["backendRefs"][0].update(port=8000),
    ),
    (wiring.metrics_ports_exist, lambda o: container(_gpu(o))["ports"].pop()),
    (
        wiring.metrics_ports_exist,
        lambda o: _first(o, "PodMonitor")["selector"]["matchLabels"].update(x="y"),
    ),
    (
        wiring.policies_let_through_what_must_pass,
        lambda o: _first(o, "NetworkPolicy")["ingress"].pop(0),
    ),
    (
        wiring.policies_let_through_what_must_pass,
        lambda o: _first(o, "NetworkPolicy")["podSelector"]["matchLabels"].update(x="y"),
    ),
    (
        wiring.redis_is_where_the_head_looks,
        lambda o: o.cluster["gcsFaultToleranceOptions"].update(redisAddress="redis:6379"),
    ),
    (
        wiring.redis_is_where_the_head_looks,
        lambda o: _first(o, "Service")["selector"].update(x="y"),
    ),
    (wiring.no_pod_is_root, lambda o: _gpu(o)["template"]["spec"].pop("securityContext")),
    (wiring.system_calls_are_filtered, lambda o: _pod_security(o).pop("seccompProfile")),
    (
        wiring.system_calls_are_filtered,
        lambda o: _pod_security(o).update(seccompProfile={"type": "Unconfined"}),
    ),
    *(
        (wiring.no_container_has_rights, lambda o, change=change: _security(o).update(change))
        for change in (
            {"allowPrivilegeEscalation": True},
            {"readOnlyRootFilesystem": False},
            {"capabilities": {"drop": ["NET_RAW"]}},
        )
    ),
    (
        wiring.no_container_has_rights,
        lambda o: o.cluster["autoscalerOptions"].pop("securityContext"),
    ),
    (wiring.what_is_written_has_a_place, lambda o: container(_gpu(o)).pop("volumeMounts")),
    (
        wiring.only_the_head_can_ask_kubernetes,
        lambda o: _gpu(o)["template"]["spec"].pop("automountServiceAccountToken"),
    ),
]


@pytest.mark.parametrize(
    "rule, mistake", MISTAKES, ids=[f"{i}-{rule.__name__}" for i, (rule, _) in enumerate(MISTAKES)]
)
def test_a_mistake_is_caught(rule: Rule, mistake: Mistake) -> None:
    objects = Objects(copy.deepcopy(RENDERED["gpu-cloud"]))
    mistake(objects)
    assert rule(objects)


def test_every_rule_has_a_mistake() -> None:
    assert {rule for rule, _ in MISTAKES} == set(RULES)

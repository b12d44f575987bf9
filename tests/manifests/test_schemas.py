"""Every object is what its API takes. Kubernetes' own kinds are checked by the schemas of
kubernetes-validate, custom resources by a CRD in a file that a variable names: they are large, and
not ours."""

import copy
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.manifests.crd import problems, validator
from tests.manifests.kustomize import render
from tests.manifests.objects import ROOT
from tests.manifests.test_rules import GPU, RENDERED, VOLUME

KUBERNETES = "1.33"
CRDS = {
    "RayService": "ECHO_RAYSERVICE_CRD",
    "HTTPRoute": "ECHO_HTTPROUTE_CRD",
    "Gateway": "ECHO_GATEWAY_CRD",
    "PodMonitor": "ECHO_PODMONITOR_CRD",
}
"""The variable that names the file with each kind's CRD."""
RAYSERVICE_MISTAKES = {
    "a misspelt key": (("cluster", "imge"), "x"),
    "a number as text": (("group", "minReplicas"), "1"),
    "an unknown upgrade": (("cluster", "upgradeStrategy"), {"type": "Slow"}),
    "an unknown authentication": (("cluster", "authOptions"), {"mode": "password"}),
}


def crd_of(kind: str) -> Any:
    path = os.environ.get(CRDS[kind])
    if not path:
        pytest.skip(f"{CRDS[kind]} names no file with the CRD of {kind}")
    return validator(Path(path))


def of_kind(kind: str) -> list[Any]:
    return [o for objects in RENDERED.values() for o in objects if o["kind"] == kind]


@pytest.mark.parametrize("name", RENDERED)
def test_kubernetes_own_kinds_are_valid(name: str) -> None:
    for document in RENDERED[name]:
        if document["kind"] not in CRDS:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_kubernetes_own_kinds_are_looked_at() -> None:
    (budget, *_) = copy.deepcopy(of_kind("PodDisruptionBudget"))
    budget["spec"]["minAvailible"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(budget, KUBERNETES, strict=True)


@pytest.mark.parametrize("kind", CRDS)
def test_custom_resources_are_valid(kind: str) -> None:
    crd = crd_of(kind)
    documents = of_kind(kind)
    assert documents
    assert [problem for d in documents for problem in problems(crd, d)] == []


@pytest.mark.parametrize("mistake", RAYSERVICE_MISTAKES)
def test_a_mistake_in_the_rayservice_is_caught(mistake: str) -> None:
    crd = crd_of("RayService")
    document = copy.deepcopy(of_kind("RayService")[0])
    cluster = document["spec"]["rayClusterConfig"]
    (place, key), value = RAYSERVICE_MISTAKES[mistake]
    {"cluster": cluster, "group": cluster["workerGroupSpecs"][0]}[place][key] = value
    assert problems(crd, document)


@pytest.mark.parametrize("name", ["base", "overlays/local", "overlays/gpu-cloud"])
def test_kustomize_renders_the_same(name: str) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not there to compare with")
    folder = ROOT / "k8s" / name
    assert by_identity(kubectl(folder)) == by_identity(render(folder))


def test_kustomize_renders_the_same_with_the_volume(tmp_path: Path) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not there to compare with")
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    plan = tmp_path / "k8s/overlays/gpu-cloud/kustomization.yaml"
    commented = "  # - ../../components/model-volume"
    assert commented in plan.read_text()
    plan.write_text(plan.read_text().replace(commented, commented.replace("# ", "")))
    # The overlay's image is set last, so the component's Job has it too.
    expected = by_identity(render(plan.parent))
    assert by_identity(kubectl(plan.parent)) == expected
    assert set(expected) == set(by_identity(render(GPU, [VOLUME])))


def kubectl(folder: Path) -> list[Any]:
    command = ["kubectl", "kustomize", str(folder)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return list(yaml.safe_load_all(output))


def by_identity(objects: list[Any]) -> dict[tuple[str, str], Any]:
    result = {(o["kind"], o["metadata"]["name"]): o for o in objects}
    assert len(result) == len(objects)
    return result

"""What the rules ask of a rendered kustomization."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from serve_app.settings.environment import load
from serve_app.settings.resolve import resolve
from serve_app.settings.schema import AppConfig

ROOT = Path(__file__).parents[2]
KEYS = {"OPENAI_API_KEY": "k", "ELEVEN_LABS_API_KEY": "k"}


@dataclass(frozen=True)
class Objects:
    """Rendered objects with one RayService among them."""

    all: list[Any]

    def of(self, kind: str) -> list[Any]:
        return [o for o in self.all if o["kind"] == kind]

    @cached_property
    def rayservice(self) -> Any:
        (rayservice,) = self.of("RayService")
        return rayservice

    @property
    def spec(self) -> Any:
        return self.rayservice["spec"]

    @property
    def cluster(self) -> Any:
        return self.spec["rayClusterConfig"]

    @property
    def head(self) -> Any:
        return self.cluster["headGroupSpec"]

    @property
    def workers(self) -> list[Any]:
        return list(self.cluster["workerGroupSpecs"])

    @property
    def groups(self) -> list[Any]:
        return [self.head, *self.workers]

    @property
    def autoscales(self) -> bool:
        return bool(self.cluster.get("enableInTreeAutoscaling"))

    @property
    def serve(self) -> Any:
        """The parsed serveConfigV2."""
        return yaml.safe_load(self.spec["serveConfigV2"])

    @property
    def config(self) -> AppConfig:
        """The settings, resolved for this cluster."""
        (application,) = self.serve["applications"]
        gpus = sum(gpus_of(group) for group in self.workers)
        return resolve(load(application["args"], KEYS), KEYS, gpus)

    def pod_templates(self) -> Iterator[Any]:
        """The templates of everything that makes pods."""
        yield from (group["template"] for group in self.groups)
        for kind in ("StatefulSet", "Job"):
            yield from (o["spec"]["template"] for o in self.of(kind))


def name_of(group: Any) -> str:
    return str(group.get("groupName", "head"))


def container(group: Any) -> Any:
    """Ray's own container, which has to be the first."""
    return group["template"]["spec"]["containers"][0]


def env(group: Any) -> dict[str, Any]:
    return {e["name"]: e.get("value") for e in container(group).get("env", [])}


def ports(template: Any) -> dict[str, int]:
    return {
        port["name"]: port["containerPort"]
        for c in template["spec"]["containers"]
        for port in c.get("ports", [])
    }


def gpus_of(group: Any) -> int:
    return int(container(group)["resources"]["limits"].get("nvidia.com/gpu", 0))


def cpus_of(group: Any) -> float:
    """What Ray counts, from the start parameter or the limit."""
    limit = str(container(group)["resources"]["limits"]["cpu"])
    by_limit = float(limit[:-1]) / 1000 if limit.endswith("m") else float(limit)
    return float(group["rayStartParams"].get("num-cpus", by_limit))


def selects(selector: Any, template: Any) -> bool:
    """Whether a label selector takes the pods of this template."""
    labels = template["metadata"]["labels"]
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", [])
    )

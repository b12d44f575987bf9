"""The files that deploy the application agree with each other and with the code."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from serve_app.app import build
from serve_app.plan import load
from serve_app.resolve import resolve

ROOT = Path(__file__).parents[2]
CONFIGS = ["configs/serve.yaml", "configs/serve.gpu.yaml"]
KEYS = {"OPENAI_API_KEY": "k", "ELEVEN_LABS_API_KEY": "k"}


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


@pytest.fixture
def rayservice() -> Any:
    return read("k8s/rayservice.yaml")


def containers(rayservice: Any) -> list[Any]:
    cluster = rayservice["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [c for group in groups for c in group["template"]["spec"]["containers"]]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_is_what_serve_takes_and_builds_the_application(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in KEYS.items():
        monkeypatch.setenv(variable, value)
    config = read(name)
    schema = ServeDeploySchema.model_validate(config)
    assert set(config) <= set(ServeDeploySchema.model_fields), "Serve ignores unknown keys"
    (application,) = schema.applications
    assert application.import_path == "serve_app.app:build"
    assert build(dict(application.args)) is not None


def test_the_manifest_runs_the_gpu_config(rayservice: Any) -> None:
    embedded = yaml.safe_load(rayservice["spec"]["serveConfigV2"])
    assert embedded == read("configs/serve.gpu.yaml")


def test_the_gpu_config_pins_the_stt_pool_and_the_manifest_has_the_gpu(rayservice: Any) -> None:
    (application,) = read("configs/serve.gpu.yaml")["applications"]
    config = resolve(load(application["args"], KEYS), KEYS, gpus=0)
    assert config.stt.device == "cuda"
    groups = rayservice["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    gpus = [
        int(c["resources"]["limits"].get("nvidia.com/gpu", 0)) * group["maxReplicas"]
        for group in groups
        for c in group["template"]["spec"]["containers"]
    ]
    assert isinstance(config.stt.num_gpus, float)
    assert sum(gpus) >= config.stt.num_gpus * config.stt.replicas > 0


def test_the_cpu_group_has_room_for_everything_but_the_stt_pool(rayservice: Any) -> None:
    (application,) = read("configs/serve.gpu.yaml")["applications"]
    config = resolve(load(application["args"], KEYS), KEYS, gpus=0)
    needed = config.sessions.actors * config.sessions.num_cpus + sum(
        stage.replicas * stage.num_cpus for stage in (config.ingress, config.vad, config.agent)
    )
    (cpu,) = (
        g
        for g in rayservice["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        if g["groupName"] == "cpu"
    )
    (container,) = cpu["template"]["spec"]["containers"]
    assert needed <= int(container["resources"]["limits"]["cpu"]) * cpu["minReplicas"]


def test_secrets_come_by_reference_to_every_pod(rayservice: Any) -> None:
    for container in containers(rayservice):
        env = {variable["name"]: variable for variable in container["env"]}
        for key in KEYS:
            assert env[key]["valueFrom"]["secretKeyRef"] == {"name": "echo-keys", "key": key}


def test_one_ray_version_everywhere(rayservice: Any) -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (pin,) = (d.split("==")[1] for d in dependencies if d.startswith("ray[serve]=="))
    docker = re.search(r"ARG RAY_VERSION=(\S+)", (ROOT / "Dockerfile").read_text())
    lock = re.search(r"^ray==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert docker and lock
    found = {pin, docker[1], lock[1], rayservice["spec"]["rayClusterConfig"]["rayVersion"]}
    assert found == {pin}


def test_the_health_check_of_the_image_asks_the_configured_port() -> None:
    port = read("configs/serve.yaml")["http_options"]["port"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"EXPOSE {port}" in dockerfile and f"127.0.0.1:{port}/healthz" in dockerfile

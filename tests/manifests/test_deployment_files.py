"""The files that deploy the application agree with each other and with the code."""

import re
import tomllib
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from serve_app.app import build
from serve_app.plan import load, resolve
from tests.manifests.kustomize import render
from tests.manifests.objects import KEYS, ROOT, Objects

CONFIGS = ["configs/serve.yaml", "configs/serve.gpu.yaml"]


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


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


@pytest.mark.parametrize(
    "folder, config",
    [
        ("k8s/base", "configs/serve.gpu.yaml"),
        ("k8s/overlays/gpu-cloud", "configs/serve.gpu.yaml"),
        ("k8s/overlays/local", "configs/serve.yaml"),
    ],
)
def test_the_manifests_run_our_configs(folder: str, config: str) -> None:
    objects = Objects(render(ROOT / folder))
    assert objects.spec["serveConfigV2"] == (ROOT / config).read_text()


def test_the_gpu_config_pins_the_stt_pool_and_lets_it_grow() -> None:
    (application,) = read("configs/serve.gpu.yaml")["applications"]
    stt = resolve(load(application["args"], KEYS), KEYS, gpus=0).stt
    assert (stt.device, stt.num_gpus) == ("cuda", 1.0)
    assert stt.max_replicas > stt.replicas


def test_one_ray_version_everywhere() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (pin,) = (d.split("==")[1] for d in dependencies if d.startswith("ray[serve]=="))
    docker = re.search(r"ARG RAY_VERSION=(\S+)", (ROOT / "Dockerfile").read_text())
    lock = re.search(r"^ray==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert docker and lock
    assert {docker[1], lock[1]} == {pin}


def test_the_health_check_of_the_image_asks_the_configured_port() -> None:
    port = read("configs/serve.yaml")["http_options"]["port"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"EXPOSE {port}" in dockerfile and f"127.0.0.1:{port}/healthz" in dockerfile

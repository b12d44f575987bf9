"""The files that deploy the application agree with each other and with the code."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from serve_app.app import build
from serve_app.local.server import HAPROXY_PORTS
from serve_app.settings.environment import load
from serve_app.settings.resolve import resolve
from tests.manifests.build_image import instructions
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
    assert objects.spec["serveConfigV2"] == for_pods((ROOT / config).read_text())


def test_what_serve_run_starts_on_one_machine_listens_there_only() -> None:
    """`echo-serve run` goes by --host; plain Serve goes by the file."""
    assert read("configs/serve.yaml")["http_options"]["host"] == "127.0.0.1"


def for_pods(text: str) -> str:
    """A pod is called by others; what is for one machine listens to that machine only."""
    return re.sub(r"host: 127\.0\.0\.1 .*", "host: 0.0.0.0", text)


def test_the_gpu_config_pins_the_stt_pool_and_lets_pools_grow() -> None:
    (application,) = read("configs/serve.gpu.yaml")["applications"]
    config = resolve(load(application["args"], KEYS), KEYS, gpus=0)
    assert (config.stt.device, config.stt.num_gpus) == ("cuda", 1.0)
    assert config.stt.max_replicas > config.stt.replicas
    assert config.ingress.max_replicas > config.ingress.replicas


def test_sessions_end_in_production_and_last_on_one_machine() -> None:
    def args(name: str) -> Any:
        (application,) = read(name)["applications"]
        return resolve(load(application["args"], KEYS), KEYS, gpus=0)

    here, production = map(args, CONFIGS)
    assert (here.turn.idle_close_ms, here.turn.max_session_s) == (0, 0)
    assert (production.turn.idle_close_ms, production.turn.max_session_s) == (600_000, 4 * 3600)
    assert production.agent.draft_replies * 2 <= production.agent.max_ongoing_replies


def test_one_ray_version_everywhere() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (pin,) = (d.split("==")[1] for d in dependencies if d.startswith("ray[serve]=="))
    docker = re.search(r"ARG RAY_VERSION=(\S+)", (ROOT / "Dockerfile").read_text())
    lock = re.search(r"^ray==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert docker and lock
    assert {docker[1], lock[1]} == {pin}


def test_the_image_listens_where_the_configs_say() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    for name in CONFIGS:
        port = read(name)["http_options"]["port"]
        assert f"EXPOSE {port}" in dockerfile and f"127.0.0.1:{port}/healthz" in dockerfile


def test_the_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    command = [str(hadolint), "--no-color", str(ROOT / "Dockerfile")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_hadolint_finds_mistakes(tmp_path: Path) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN cd /tmp && apt-get install wget\n")
    assert subprocess.run(
        [str(hadolint), str(tmp_path / "Dockerfile")], capture_output=True
    ).returncode


def test_the_image_ends_as_a_user_and_every_argument_has_a_default() -> None:
    steps = list(instructions((ROOT / "Dockerfile").read_text()))
    last_stage = len(steps) - [name for name, _ in reversed(steps)].index("FROM")
    assert ("USER", "1000") in steps[last_stage:]
    assert all("=" in text for name, text in steps if name == "ARG")


def test_what_the_image_copies_is_let_through_to_the_build() -> None:
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"
    }
    copied = {
        source
        for name, text in instructions((ROOT / "Dockerfile").read_text())
        if name == "COPY" and not text.startswith("--from")
        for source in text.split()[:-1]
    }
    assert copied == let_through


def test_no_service_of_compose_has_rights() -> None:
    services = read("compose.yaml")["services"]
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "pid", "network_mode"} & set(service), name
    assert where_ray_writes(services["echo"]["tmpfs"][0])
    assert not {"read_only", "cap_drop", "security_opt"} & set(
        read("compose.gpu.yaml")["services"]["echo"]
    )


def test_the_command_without_rights_lets_haproxy_start() -> None:
    (tmp,) = re.findall(r"--tmpfs (\S+)", (ROOT / "docs" / "supply-chain.md").read_text())
    assert where_ray_writes(tmp)


def where_ray_writes(tmpfs: str) -> bool:
    """HAProxy's wrapper is written there, too, and started (serve_app/local/edge.py): without
    `exec`, Docker's default of noexec holds."""
    path, _, options = tmpfs.partition(":")
    return path == "/tmp" and {"mode=1777", "exec"} <= set(options.split(","))


def test_nothing_in_the_image_gives_rights() -> None:
    """Without setuid files, no-new-privileges has nothing to forbid."""
    steps = list(instructions((ROOT / "Dockerfile").read_text()))
    last_stage = len(steps) - [name for name, _ in reversed(steps)].index("FROM")
    assert any("-perm /6000 -exec chmod a-s" in text for _, text in steps[last_stage:])
    assert any(name == "HEALTHCHECK" for name, _ in steps[last_stage:])


def test_compose_publishes_the_port_and_prometheus_asks_what_there_is() -> None:
    compose = read("compose.yaml")["services"]
    port = read("configs/serve.yaml")["http_options"]["port"]
    assert compose["echo"]["ports"] == [f"${{PUBLISH_AT:-127.0.0.1}}:{port}:{port}"]
    for name, service in compose.items():
        assert all("127.0.0.1" in published for published in service.get("ports", [])), name
    targets = {
        target
        for job in read("monitoring/prometheus.yml")["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    ours = (
        compose["echo"]["environment"]["ECHO_METRICS_PORT"],
        HAPROXY_PORTS["RAY_SERVE_HAPROXY_METRICS_PORT"],
    )
    assert targets == {f"echo:{port}" for port in ours}
    folders = [v.split(":")[0] for s in compose.values() for v in s.get("volumes", [])]
    assert all((ROOT / f).exists() for f in folders if f.startswith("."))

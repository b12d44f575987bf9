"""What a server on this machine reads from its file and its environment."""

import os
import subprocess
from collections.abc import Collection
from pathlib import Path

import pytest
import ray
import yaml

from serve_app.errors import ConfigError
from serve_app.local import cluster
from serve_app.local.server import RAY_ENVIRONMENT, metrics_port, running
from serve_app.models.manifest import MANIFEST
from serve_app.settings.environment import load
from serve_app.settings.packaged import DEFAULT_LLM
from serve_app.settings.resolve import resolve
from tests.serve.conftest import ROOT, echo_serve


@pytest.mark.parametrize("value, port", [(None, None), (" ", None), ("8080", 8080)])
def test_the_metrics_port_is_optional(value: str | None, port: int | None) -> None:
    env = {} if value is None else {"ECHO_METRICS_PORT": value}
    assert metrics_port(env) == port


@pytest.mark.parametrize("value", ["0", "65536", "-1", "http", "80.5"])
def test_what_is_no_port_is_refused_by_its_name(value: str) -> None:
    with pytest.raises(ConfigError, match="ECHO_METRICS_PORT"):
        metrics_port({"ECHO_METRICS_PORT": value})


def test_tools_that_cannot_be_used_are_refused_before_ray_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**RAY_ENVIRONMENT, "OPENAI_API_KEY": "k"}.items():
        monkeypatch.setenv(name, value)
    tool = {"name": "t", "description": "d", "parameters": {"type": "object"}, "python": "a:b"}
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump({"applications": [{"args": {"agent": {"tools": [tool]}}}]}))
    reports: list[str] = []
    with (
        pytest.raises(ConfigError, match=r"args\.agent\.tools\.0\.python: .* cannot be imported"),
        running(file, reports.append),
    ):
        pass
    assert not ray.is_initialized() and reports == []


def test_an_address_in_the_file_that_is_not_listened_at_is_said() -> None:
    """The rest of the start is refused: a key is missing."""
    command = echo_serve("run", "--config", "configs/serve.gpu.yaml")
    env = {"PATH": "", "TEXT_GENERATION_PROVIDER": "openai"}
    refused = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2 and "OPENAI_API_KEY is not set" in refused.stderr
    assert "http_options.host is 0.0.0.0" in refused.stdout and refused.stdout.count("\n") == 1


@pytest.mark.parametrize("asked", ["", "packaged", DEFAULT_LLM])
def test_a_default_llm_that_is_gone_is_replaced_unless_it_was_asked_for_by_name(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = MANIFEST[DEFAULT_LLM].stand_in

    def fetch_all(names: list[str], report: object, replaceable: Collection[str]) -> dict[str, str]:
        return {name: stand_in for name in names if name in replaceable}

    monkeypatch.setattr(cluster.models, "fetch_all", fetch_all)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("TEXT_GENERATION_MODEL", asked)
    cluster.fetch_models(resolve(load({}, os.environ), os.environ, 0), asked, print)
    runs = resolve(load({}, os.environ), os.environ, 0).agent.llm.model
    assert runs == (DEFAULT_LLM if asked == DEFAULT_LLM else stand_in)

"""What a server on this machine reads from its file and its environment."""

from pathlib import Path

import pytest
import ray
import yaml

from serve_app.errors import ConfigError
from serve_app.local.server import RAY_ENVIRONMENT, metrics_port, running


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

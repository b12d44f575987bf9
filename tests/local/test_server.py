"""What a server reads from its environment."""

import pytest

from serve_app.errors import ConfigError
from serve_app.local.server import metrics_port


@pytest.mark.parametrize("value, port", [(None, None), (" ", None), ("8080", 8080)])
def test_the_metrics_port_is_optional(value: str | None, port: int | None) -> None:
    env = {} if value is None else {"ECHO_METRICS_PORT": value}
    assert metrics_port(env) == port


@pytest.mark.parametrize("value", ["0", "65536", "-1", "http", "80.5"])
def test_what_is_no_port_is_refused_by_its_name(value: str) -> None:
    with pytest.raises(ConfigError, match="ECHO_METRICS_PORT"):
        metrics_port({"ECHO_METRICS_PORT": value})

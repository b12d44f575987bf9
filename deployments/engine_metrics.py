"""How the engines are doing, as Ray's metrics."""

from typing import Any

from ray.serve.metrics import Counter, Gauge

from serve_app.agent.chain import Watcher

_TAGS: Any = ("stage", "engine")
"""`llm` or `tts`, and the engine's place and provider, such as `1-openai`. Serve adds the replica,
as each has its own breakers."""


class EngineMetrics(Watcher):
    """In Prometheus: `ray_echo_engine_available` and `ray_echo_engine_failures_total`."""

    def __init__(self) -> None:
        self._available = Gauge(
            "echo_engine_available",
            description="1 while the engine is asked, 0 while it is left out after failures.",
            tag_keys=_TAGS,
        )
        self._failures = Counter(
            "echo_engine_failures",
            description="Replies, or rounds of one, that the engine failed to begin or to finish.",
            tag_keys=_TAGS,
        )

    def is_available(self, stage: str, engine: str, is_available: bool) -> None:
        self._available.set(float(is_available), tags={"stage": stage, "engine": engine})

    def has_failed(self, stage: str, engine: str) -> None:
        self._failures.inc(tags={"stage": stage, "engine": engine})

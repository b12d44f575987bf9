"""How far the ingress is behind, as Ray's metrics."""

from ray.serve.metrics import Counter, Gauge

from serve_app.ingress.load import LoadWatcher, Shed


class LoadMetrics(LoadWatcher):
    """In Prometheus: `ray_echo_load_level` and `ray_echo_shed_total`. Serve adds the replica."""

    def __init__(self) -> None:
        self._level = Gauge(
            "echo_load_level",
            description="What is left out: 0 nothing, 1 partials, 2 and drafts, 3 and the"
            " end-of-turn model, 4 and small calls to the VAD.",
        )
        self._shed = Counter(
            "echo_shed",
            description="Partials, drafts and judgements left out because the replica was late.",
            tag_keys=("work",),
        )
        self._level.set(0.0)

    def level(self, level: Shed) -> None:
        self._level.set(float(level))

    def shed(self, what: Shed) -> None:
        self._shed.inc(tags={"work": what.name.lower()})

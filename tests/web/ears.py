"""Measures, in a page, what goes to the loudspeaker and comes from the microphone: an AnalyserNode
of the test's own, hung in before the page's scripts run."""

from dataclasses import dataclass
from typing import Any

from tests.web.chromium import Tab

LOUD = 0.02
EARS = """
(() => {
  const taps = { out: [], mic: [] };
  const log = (window.ears = []);
  const connect = AudioNode.prototype.connect;
  const tap = (side, node) => {
    const analyser = new AnalyserNode(node.context, { fftSize: 256 });
    connect.call(node, analyser);
    taps[side].push({ analyser, wave: new Float32Array(256) });
  };
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode) tap("out", this);
    if (this instanceof MediaStreamAudioSourceNode) tap("mic", this);
    return connect.call(this, target, ...rest);
  };
  const level = (side) =>
    Math.max(0, ...taps[side].map(({ analyser, wave }) => {
      if (analyser.context.state !== "running") return 0;
      analyser.getFloatTimeDomainData(wave);
      return Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length);
    }));
  setInterval(() => log.push([performance.now(), level("out"), level("mic")]), 5);
})();
"""


@dataclass(frozen=True, slots=True)
class Heard:
    """Times are in milliseconds of the page."""

    out: list[tuple[float, float]]
    mic: list[tuple[float, float]]

    def onset_ms(self, side: str, after_ms: float = 0.0) -> float:
        """When it becomes loud for the first time after this."""
        levels = self.out if side == "out" else self.mic
        return next(at for at, level in levels if at >= after_ms and level > LOUD)

    def silent_from_ms(self, after_ms: float, for_ms: float = 200.0) -> float:
        """When the loudspeaker falls silent, and stays so for a while."""
        since: float | None = None
        for at, level in self.out:
            if at < after_ms:
                continue
            if level > LOUD / 4:
                since = None
            elif since is None:
                since = at
            elif at - since >= for_ms:
                return since
        raise AssertionError("the loudspeaker does not fall silent")

    def seconds_loud(self) -> float:
        pairs = zip(self.out, self.out[1:], strict=False)
        return sum(b[0] - a[0] for a, b in pairs if a[1] > LOUD) / 1000


async def listen(tab: Tab) -> None:
    """Before the page is opened."""
    await tab.before_scripts(EARS)


async def heard(tab: Tab) -> Heard:
    log: list[list[Any]] = await tab.evaluate("window.ears")
    return Heard([(at, out) for at, out, _ in log], [(at, mic) for at, _, mic in log])

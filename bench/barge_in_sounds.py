"""What the user's side sounds like while the agent talks: recordings of people, other voices, and
noises."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.barge_in_noises import noises, room
from bench.barge_in_recordings import recordings
from serve_app.agent.tts.piper.model import PiperModel
from serve_app.agent.tts.resample import PcmResampler
from serve_app.client.speech import read_wav, trim
from serve_app.conversation.settings import SAMPLE_RATE_HZ, samples
from serve_app.protocol.messages import Samples

DATA = Path(__file__).parents[1] / "tests" / "data"
SENTENCE, WORD = "sentence", "one word"
WANTS_FLOOR = (SENTENCE, WORD)
BACKCHANNEL = "backchannel"
VOICE_DB = -26.0
"""Level of the user (dB below full scale, RMS of the louder half of its 20 ms windows)."""
NOISE_DB = VOICE_DB - 20.0
"""Level of the room, where there is noise."""
_SENTENCE_MS = 3000
"""Longer ones are cut: the agent has stopped by then, or never will."""
_FADE_MS = 5
_HUM_HZ = 80.0
"""Some recordings hum: what is below this is taken out."""
FILLERS = {
    "cold_corpus uh 1": ("cold_corpus", 2.05, 2.31),
    "cold_corpus uh 2": ("cold_corpus", 5.72, 6.28),
    "cold_corpus um 1": ("cold_corpus", 8.25, 8.75),
    "cold_corpus uh 3": ("cold_corpus", 16.15, 16.78),
    "mfa_erpause er": ("mfa_erpause", 2.48, 2.80),
}
"""Hesitations of people, cut out of tests/data/turns by hand (seconds)."""
SHORT_ANSWERS = (
    "Yeah.", "Uh-huh.", "Mm-hmm.", "Okay.", "Right.", "I see.", "Oh, really?", "Yes, yes.",
    "Wow, great.", "Yeah, okay.",
)  # fmt: skip
"""What the second voice says without wanting the floor."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Something that the microphone hears once."""

    kind: str
    """With a star: made, or spoken by a synthetic voice."""
    name: str
    samples: Samples
    """From its first sample above the silence; float32, shape (n,)."""

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ


def sounds(joe: PiperModel) -> Iterator[Sound]:
    """Everything, each sound at the same level. `joe` is another voice than the agent's."""
    for path in sorted((DATA / "speech").glob("*.wav")) + sorted((DATA / "turns").glob("*.wav")):
        yield _sound(SENTENCE, path.stem, trim(read_wav(path))[: samples(_SENTENCE_MS)])
    recorded = list(recordings())
    for kind, name, heard in recorded:
        yield _sound(kind, name, heard)
    for name, (clip, start_s, end_s) in FILLERS.items():
        heard = read_wav(DATA / "turns" / f"{clip}.wav")
        cut = heard[samples(start_s * 1000) : samples(end_s * 1000)]
        yield _sound(BACKCHANNEL, name, cut)
    for text in SHORT_ANSWERS:
        yield _sound(f"{BACKCHANNEL} *", f"joe {text}", _spoken(joe, text))
    for kind, name, noise in noises():
        if kind not in {kind for kind, _, _ in recorded}:
            yield _sound(f"{kind} *", name, noise)


def microphone(sound: Sound | None, at_s: float, until_s: float, is_noisy: bool) -> Samples:
    """What is heard until `until_s`: silence or room noise, and the sound from `at_s` on."""
    count = round(until_s * SAMPLE_RATE_HZ)
    heard = np.zeros(count, dtype=np.float32)
    if is_noisy:
        heard += room(count, seed=1) * np.float32(_ratio(NOISE_DB))
    if sound is not None:
        start = round(at_s * SAMPLE_RATE_HZ)
        part = sound.samples[: count - start]
        heard[start : start + len(part)] += part
    return np.clip(heard, -1.0, 1.0)


def level_db(sound: Samples) -> float:
    """RMS of the louder half of the 20 ms windows, in dB of full scale."""
    size = samples(20)
    padded = np.pad(sound, (0, -len(sound) % size)).reshape(-1, size)
    powers = np.sort(np.square(padded).mean(axis=1))[len(padded) // 2 :]
    return float(10 * np.log10(powers.mean() + 1e-12))


def _sound(kind: str, name: str, heard: Samples) -> Sound:
    cut = trim(_without_hum(heard))
    loud = cut * np.float32(_ratio(VOICE_DB - level_db(cut)))
    fade = np.minimum(1.0, np.arange(len(loud)) / samples(_FADE_MS)).astype(np.float32)
    return Sound(kind, name, loud * fade * fade[::-1])


def _without_hum(heard: Samples) -> Samples:
    spectrum = np.fft.rfft(heard)
    spectrum[np.fft.rfftfreq(len(heard), 1 / SAMPLE_RATE_HZ) < _HUM_HZ] = 0
    return np.fft.irfft(spectrum, len(heard)).astype(np.float32)


def _spoken(joe: PiperModel, text: str) -> Samples:
    pcm = np.rint(np.clip(joe.samples(text), -1, 1) * 32767).astype("<i2").tobytes()
    converted = PcmResampler(joe.rate_hz, SAMPLE_RATE_HZ).push(pcm, last=True)
    return np.frombuffer(converted, dtype="<i2").astype(np.float32) / np.float32(32768)


def _ratio(db: float) -> float:
    return float(10 ** (db / 20))

"""A long sound in the segments that a transcriber takes."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from serve_app.conversation.audio import AudioBuffer
from serve_app.ingress.rest.decoding import Pcm
from serve_app.protocol.messages import Samples

_FULL: Final = np.float32(32768)


def segments(pcm: Pcm, longest: int) -> Iterator[tuple[int, Samples]]:
    """Where each begins, and its samples, of which it has at most `longest`. A file is cut as a
    turn of a conversation is."""
    start = 0
    while start < len(pcm):
        samples = pcm[start : start + longest].astype(np.float32) / _FULL
        if start + longest < len(pcm):
            buffer = AudioBuffer()
            buffer.append(samples)
            samples = samples[: buffer.segment_end(0, longest)]
        yield start, samples
        start += len(samples)

"""Smart Turn on onnxruntime: hears whether a user who is silent has finished."""

import numpy as np
import onnxruntime

from serve_app.conversation.settings import SAMPLE_RATE_HZ, SMART_TURN_WINDOW_S
from serve_app.models import fetch as models
from serve_app.protocol.messages import Samples
from serve_app.vad.log_mel import log_mel

_PACKAGED_MODEL = ("smart-turn-v3.2", "smart-turn-v3.2-cpu.onnx")
_WINDOW_SAMPLES = SMART_TURN_WINDOW_S * SAMPLE_RATE_HZ
_VARIANCE_FLOOR = 1e-7
"""As in transformers' WhisperFeatureExtractor: keeps digital silence finite."""


class SmartTurn:
    """Smart Turn v3.2 of Daily (Whisper tiny's encoder, 8 M parameters in int8)."""

    def __init__(self, threads: int = 1) -> None:
        """Loads the model. Raises ConfigError if it cannot be fetched."""
        name, file_name = _PACKAGED_MODEL
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Without this, int8 products overflow on a CPU that has no VNNI, and answers change by up
        # to 0.6. It costs such a CPU a tenth more time, and other CPUs nothing.
        options.add_session_config_entry("session.x64quantprecision", "1")
        self._session = onnxruntime.InferenceSession(
            str(models.path(name) / file_name), options, providers=["CPUExecutionProvider"]
        )

    def judge(self, samples: Samples) -> float:
        """The probability, 0 to 1, that the turn is complete.

        `samples` is the turn so far, with the silence after it: float32 mono at 16 kHz, shape
        (n,), n at least 0. Only the last 8 s matter.
        """
        inputs = {"input_features": features(samples)[np.newaxis]}
        (probabilities,) = self._session.run(None, inputs)
        return float(probabilities[0, 0])

    def warm_up(self) -> None:
        self.judge(np.zeros(0, dtype=np.float32))


def features(samples: Samples) -> Samples:
    """The model's input, float32, shape (80, 800): 8 s, with silence before a shorter turn.

    Normalised over the whole window, including the silence: Smart Turn was trained like that.
    """
    heard = samples[-_WINDOW_SAMPLES:]
    window = np.zeros(_WINDOW_SAMPLES, dtype=np.float32)
    window[_WINDOW_SAMPLES - len(heard) :] = heard
    return log_mel((window - window.mean()) / np.sqrt(window.var() + _VARIANCE_FLOOR))

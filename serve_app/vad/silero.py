"""Silero VAD on onnxruntime: many sessions in each call, and no state of its own."""

from importlib.util import find_spec
from pathlib import Path
from threading import Event

import numpy as np
import onnxruntime

from serve_app.conversation.settings import FRAME_SAMPLES, SAMPLE_RATE_HZ
from serve_app.vad.jobs import CONTEXT_SAMPLES, Floats, VadAnswer, VadJob, VadRow, new_row


class SileroVad:
    """Batches over sessions. The frames of one session run one after the other."""

    def __init__(self, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(_model_path()), options, providers=["CPUExecutionProvider"]
        )

    def detect(self, jobs: list[VadJob], abandoned: Event | None = None) -> list[VadAnswer]:
        """One answer for each job. Rows do not influence each other: a batch gives what single
        calls would. Once `abandoned` is set, nobody wants the answers, and there are none."""
        state = np.stack([job.row.state for job in jobs], axis=1)
        context = np.stack([job.row.context for job in jobs])
        probabilities = [np.empty(len(job.frames), dtype=np.float32) for job in jobs]
        for step in range(max(len(job.frames) for job in jobs)):
            if abandoned is not None and abandoned.is_set():
                return []
            live = [i for i, job in enumerate(jobs) if len(job.frames) > step]
            frames = np.stack([jobs[i].frames[step] for i in live])
            output, state[:, live] = self._run(
                np.concatenate((context[live], frames), axis=1), state[:, live]
            )
            context[live] = frames[:, -CONTEXT_SAMPLES:]
            for i, probability in zip(live, output[:, 0], strict=True):
                probabilities[i][step] = probability
        return [
            VadAnswer(VadRow(state[:, i].copy(), context[i].copy()), probabilities[i])
            for i in range(len(jobs))
        ]

    def warm_up(self) -> None:
        self.detect([VadJob(new_row(), np.zeros((1, FRAME_SAMPLES), dtype=np.float32))])

    def _run(self, frames: Floats, state: Floats) -> tuple[Floats, Floats]:
        inputs = {"input": frames, "state": state, "sr": np.array(SAMPLE_RATE_HZ, dtype=np.int64)}
        output, new_state = self._session.run(None, inputs)
        return output, new_state


def _model_path() -> Path:
    # Located without an import, which would load torch and limit it to one thread for good.
    spec = find_spec("silero_vad")
    assert spec is not None and spec.origin is not None, "silero-vad is a dependency"
    return Path(spec.origin).parent / "data" / "silero_vad.onnx"

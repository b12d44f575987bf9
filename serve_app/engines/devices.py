"""Where a torch model runs, and what makes it fast on a CPU."""

import os

import torch
from torch import Tensor, nn


def resolve_device(name: str) -> torch.device:
    """`auto` is the first GPU when there is one, else the CPU."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_threads(threads: int) -> None:
    """How many cores torch may use in this process; 0 is all.

    Said outright because Ray sets OMP_NUM_THREADS to its logical CPUs, which are for placement.
    """
    torch.set_num_threads(threads or os.cpu_count() or 1)


def can_halve_weights() -> bool:
    """Whether this build of torch has FBGEMM, which is for x86 with AVX2."""
    return "fbgemm" in torch.backends.quantized.supported_engines


def halve_weights(model: nn.Module) -> None:
    """Store the weights of all linear layers as float16, in place; sums stay float32.

    Writing one token reads every weight once, so half the bytes are half the time: on two
    AVX2 cores 2 to 4 times float32, with results that differ by 2e-4.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, _HalfLinear(child))


class _HalfLinear(nn.Module):
    """A linear layer over FBGEMM's packed float16 weights."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        bias = None if linear.bias is None else linear.bias.detach().float()
        pack = torch.ops.quantized.linear_prepack_fp16
        self._packed = pack(linear.weight.detach().float(), bias)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = torch.ops.quantized.linear_dynamic_fp16(inputs, self._packed)
        return outputs

"""Where a torch model runs."""

import os

import torch


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

"""What the capacity benchmark prints."""

from collections.abc import Iterator, Sequence

from bench.capacity_figures import KINDS, SEEN, SERVER, Cost, Step, total
from bench.processes import Memory


def talk_table(steps: Sequence[Step]) -> Iterator[str]:
    """All steps are compared with the first one."""
    yield (
        "| sessions | turns | first audio p50, p95 | endpoint, stt, llm, tts, lag p50"
        " | late endpoints | objective |"
    )
    yield "|---|---|---|---|---|---|"
    for step in steps:
        if talk := step.talk:
            first, of = talk.first_audio, talk.parts
            parts = (of.endpoint_ms, of.stt_ms, of.llm_ms, of.tts_ms, talk.lag_ms)
            yield (
                f"| {step.sessions} | {talk.turns} | {first.p50_ms:.0f} ms, {first.p95_ms:.0f} ms"
                f" | {', '.join(f'{part:.0f}' for part in parts)} ms | {talk.late_endpoints}"
                f" | {step.missed(steps[0]) or 'met'} |"
            )


def cpu_table(steps: Sequence[Step]) -> Iterator[str]:
    """How many cores are busy."""
    yield f"| sessions | {' | '.join(KINDS)} | all of the server | other work |"
    yield "|---" * (len(KINDS) + 3) + "|"
    for step in steps:
        cores = " | ".join(f"{step.cores[kind]:.3f}" for kind in KINDS)
        server = sum(step.cores[kind] for kind in SERVER)
        yield f"| {step.sessions} | {cores} | {server:.2f} | {step.others:.2f} |"


def cost_table(
    talking: tuple[int, dict[str, Cost]], silent: tuple[int, dict[str, Cost]]
) -> Iterator[str]:
    """CPU time that a session costs, in a step with so many of them."""
    yield f"| | of {talking[0]} that talk | fill a core | of {silent[0]} silent | fill a core |"
    yield "|---|---|---|---|---|"
    for kind in KINDS:
        yield f"| {kind} | {_cost(talking[1][kind])} | {_cost(silent[1][kind])} |"
    yield f"| all of the server | {_cost(total(talking[1]))} | {_cost(total(silent[1]))} |"


def memory_table(first: Step, last: Step, silent: dict[str, Cost]) -> Iterator[str]:
    """Memory of one process of each kind, and what an open microphone adds to all of that kind."""
    yield "| | processes | a process, server alone | after all steps | an open microphone adds |"
    yield "|---|---|---|---|---|"
    for kind in KINDS:
        if kind in first.memory and kind in last.memory:
            yield (
                f"| {kind} | {first.memory[kind].processes} | {_each(first.memory[kind])}"
                f" | {_each(last.memory[kind])} | {silent[kind].memory_mib * 1024:.0f} KiB |"
            )


def _each(memory: Memory) -> str:
    return f"{memory.pss_mib / memory.processes:.0f} MiB ({memory.rss_mib / memory.processes:.0f})"


def _cost(cost: Cost) -> str:
    fill = f"{cost.in_a_core:.0f}" if cost.cores >= SEEN else "-"
    return f"{max(0.0, cost.cores * 1000):.1f} ms/s | {fill}"

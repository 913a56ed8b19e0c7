"""Whether a run fits the memory of the device that it would use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from napari_threestage.cli.output import out, say
from napari_threestage.memory_estimate import estimate_memory, free_memory

if TYPE_CHECKING:
    from napari_threestage.check import Plan
    from napari_threestage.config import Config
    from napari_threestage.project import Project


def look_at_memory(
    project: Project, plan: Plan, config: Config, stages: tuple[int, int], device_name: str
) -> Plan:
    """Return the plan with the memory that the run needs on a device, as ``--device`` names it.

    Raises
    ------
    ConfigError
        The device is not there.
    """
    from napari_threestage.inference.device import choose_device, free_memory_of  # torch

    device = choose_device(device_name)
    needed = estimate_memory(project, config, stages, device.type, plan.labelled, plan.unlabelled)
    return plan.with_memory(needed, free_memory(device.type, free_memory_of(device)), config)


def say_memory(plan: Plan) -> None:
    """Print what the run needs, with the warning if that is too much."""
    say(plan.memory_sentence)
    for problem in plan.problems:
        if problem.kind == "memory":
            out.print(f"[yellow]warning:[/] {escape(f'{problem.message} {problem.fix}')}")

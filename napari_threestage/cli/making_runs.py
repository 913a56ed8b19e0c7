"""From what a person typed after ``threestage run`` to the run that is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_threestage.check import plan_run
from napari_threestage.cli.memory import look_at_memory, say_memory
from napari_threestage.cli.output import say
from napari_threestage.config import load_config, parse_setting
from napari_threestage.errors import ConfigError, NotReadyError
from napari_threestage.presets import settings_for_share
from napari_threestage.run_notes import LATEST
from napari_threestage.runs import find_run
from napari_threestage.stages import parse_stages

if TYPE_CHECKING:
    import argparse

    from napari_threestage.config import Config
    from napari_threestage.project import Project
    from napari_threestage.runs import Run

# What follows from another run where a run is made of it.
FIXED = ("stages", "preset", "steps", "set")


def run_to_train(project: Project, options: argparse.Namespace) -> Run:
    """Find the run to go on with, or make a new one."""
    from napari_threestage.training.derived import prepare_baseline, prepare_refresh

    how: dict[str, Any] = {"seed": options.seed, "device": options.device}
    if options.resume is not None:
        return resumed(project, options.resume)
    if options.refresh is not None:
        other = _named(project, options.refresh)
        run, what = prepare_refresh(project, other, **how), "from the weights of run"
    elif options.baseline is not None:
        other = _named(project, options.baseline)
        run, what = prepare_baseline(project, other, **how), "on the labels alone of run"
    else:
        return _new_run(project, options)
    if not (options.json or options.quiet):
        steps = " + ".join(map(str, run.config.stages.steps))
        say(f"Training {what} {other.id}: {steps} steps.")
    return run


def _new_run(project: Project, options: argparse.Namespace) -> Run:
    from napari_threestage.training.prepare import prepare_run

    stages, preset = parse_stages(options.stages or "1-3"), options.preset or "quick"
    plan = plan_run(project, load_config(preset))
    plan.require_ready()
    config = _config(options, preset, plan.labelled_share)
    if not (options.json or options.quiet):
        say_memory(look_at_memory(project, plan, config, stages, options.device))
    seed = options.seed or 0
    return prepare_run(project, config, stages=stages, seed=seed, device=options.device)


def _config(options: argparse.Namespace, preset: str, labelled_share: float) -> Config:
    changes = settings_for_share(preset, labelled_share)
    changes |= dict(parse_setting(text) for text in options.set)
    if options.steps is not None:
        if options.steps < 1:
            raise ConfigError(
                f"A stage of {options.steps} steps learns nothing.", "Give --steps 300."
            )
        changes["stages.steps"] = [options.steps]
    return load_config(preset, changes)


def refuse_settings(options: argparse.Namespace) -> None:
    """A run that goes on, or is made of another one, keeps the configuration that this one had."""
    does = {
        "resume": "A run that is resumed keeps its settings.",
        "refresh": "A run that refreshes another one has its settings and stages.",
        "baseline": "A baseline has the settings of the run that it is compared with, in one stage "
        "of as many steps.",
    }
    sentences = [text for name, text in does.items() if getattr(options, name) is not None]
    given = [f"--{name}" for name in FIXED if getattr(options, name) not in (None, [])]
    if sentences and given:
        raise ConfigError(sentences[0], f"Leave out {' and '.join(given)}, or start anew.")


def _named(project: Project, name: str, *, baselines: bool = False) -> Run:
    return find_run(project, None if name == LATEST else name, baselines=baselines)


def resumed(project: Project, name: str) -> Run:
    """Return a run that has not finished."""
    run = _named(project, name, baselines=True)
    if run.state() == "finished":
        raise NotReadyError(f"Run {run.id} is finished.", "Start a new one without --resume.")
    return run

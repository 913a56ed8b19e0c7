"""``run``, ``pause``, ``continue``, ``stop`` and ``status``."""

from __future__ import annotations

import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage import jobs
from napari_threestage.cli.live import LiveProgress
from napari_threestage.cli.making_runs import refuse_settings, resumed, run_to_train
from napari_threestage.cli.output import (
    add_command,
    forget_reader,
    out,
    percent,
    plain_table,
    print_json,
    say,
    score_table,
)
from napari_threestage.errors import BusyError, NotReadyError, ThreeStageError
from napari_threestage.events import Event, read_events
from napari_threestage.presets import PRESETS
from napari_threestage.project import Project
from napari_threestage.run_notes import LATEST, known_notes
from napari_threestage.run_view import RunView
from napari_threestage.runs import Run, find_run, list_runs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from napari_threestage.run_notes import RunNote
    from napari_threestage.training.workers import Workers


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    _add_run(commands)
    steering = (
        ("pause", pause_run, "hold the run that is going on in place; continue lets it go on"),
        ("continue", continue_run, "let a paused run go on"),
        ("stop", stop_run, "save the run that is going on and end it; run --resume goes on"),
    )
    for name, action, summary in steering:
        parser = add_command(commands, name, action, summary, f"threestage {name} my_project")
        parser.add_argument("project", type=Path)
    status = add_command(
        commands, "status", show_status, "tell what runs there are", "threestage status my_project"
    )
    status.add_argument("project", type=Path)


def _add_run(commands: Any) -> None:
    parser = add_command(
        commands,
        "run",
        run_stages,
        "train the three stages and write their pseudo-masks",
        "threestage run my_project --preset quick",
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--stages", help="e.g. 1-3 (the default), 1, 2-3, 1-4")
    parser.add_argument("--preset", choices=list(PRESETS), help="quick if not given")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--seed", type=int, help="0 if not given, or that of the other run")
    parser.add_argument("--steps", type=int, help="steps of every stage")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting"
    )
    another = parser.add_mutually_exclusive_group()
    ways = {
        "--resume": "go on with a run that was ended, the latest if none is named",
        "--refresh": "train a run once more with the present labels and classes: half the steps, "
        "each stage from the weights that it had",
        "--baseline": "train on the labels of a run alone, for as many steps as all its stages "
        "had, to see what the stages gave",
    }
    for name, summary in ways.items():
        another.add_argument(name, nargs="?", const=LATEST, metavar="RUN", help=summary)
    parser.add_argument("--detach", action="store_true", help="train in the background")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run_stages(options: argparse.Namespace) -> None:
    """Start or resume a run, in this process or, with ``--detach``, in one of its own."""
    project = Project(options.project)
    refuse_settings(options)
    if options.detach:
        _detach(project, options)
        return
    from napari_threestage.inference.device import choose_device  # torch: not to detach a child
    from napari_threestage.training.workers import joined

    device = options.device
    if options.resume is not None:
        device = resumed(project, options.resume).inputs.device
    with joined(choose_device(device)) as workers:
        if workers.leads:
            _lead(project, options, workers)
        else:
            _follow(project, workers)


def _lead(project: Project, options: argparse.Namespace, workers: Workers) -> None:
    """Make or find the run, and train it with all that follow."""
    from napari_threestage.training.run import execute_run

    show = _json_line if options.json else LiveProgress(quiet=options.quiet)
    with project.running():
        run = run_to_train(project, options)
        workers.decide(run.id)
        with _StopSignals() as signals:
            execute_run(project, run, show, signals.stop_wanted, workers)
    if not (options.json or options.quiet):
        _print_results(project, run)


def _follow(project: Project, workers: Workers) -> None:
    """Help to train the run that process 0 names; only that one writes and prints."""
    from napari_threestage.training.run import execute_run

    try:
        run = find_run(project, str(workers.decide(None)))
        with _StopSignals() as signals:
            execute_run(project, run, lambda event: None, signals.stop_wanted, workers)
    except RuntimeError as error:  # what torch raises when another process is gone
        reason = str(error).splitlines()[0]
        raise ThreeStageError(
            f"Process {workers.rank} cannot go on without the others ({reason}).",
            "See what process 0 says.",
        ) from error


def pause_run(options: argparse.Namespace) -> None:
    """Hold the run that is going on."""
    project = Project(options.project)
    running = _running(project)
    for run in running:
        if not jobs.pause(run) and run.is_running():
            raise BusyError(f"Run {run.id} was asked to pause; it does so after its present step.")
    paused = [run.id for run in running if run.state() == "paused"]
    if not paused:
        raise NotReadyError(f"Run {running[-1].id} ended before it could pause.")
    if options.json:
        print_json({"paused": paused})
    else:
        say(f"Paused {paused[-1]}. Go on: threestage continue {project.path}")


def continue_run(options: argparse.Namespace) -> None:
    """Let the paused run go on."""
    project = Project(options.project)
    paused = [run for run in _running(project) if run.command() == "pause"]
    if not paused:
        raise NotReadyError(
            f"No run of project {project.path} is paused.",
            f"A run that was stopped goes on with: threestage run {project.path} --resume",
        )
    for run in paused:
        run.request_continue()
    if options.json:
        print_json({"continued": [run.id for run in paused]})
    else:
        say(f"Run {paused[-1].id} goes on.")


def stop_run(options: argparse.Namespace) -> None:
    """Stop the run that is going on."""
    project = Project(options.project)
    running = _running(project)
    for run in running:
        if not jobs.stop(run):
            raise BusyError(
                f"Run {run.id} was asked to end and has not yet; it ends after its present step."
            )
    if options.json:
        print_json({"stopped": [run.id for run in running]})
    else:
        say(f"Stopped {running[-1].id}. Go on: threestage run {project.path} --resume")


def _running(project: Project) -> list[Run]:
    running = [run for run in list_runs(project) if run.is_running()]
    if not running:
        raise NotReadyError(f"No run of project {project.path} is going on.")
    return running


def show_status(options: argparse.Namespace) -> None:
    """Print the runs of a project, the latest last."""
    project = Project(options.project)
    states = [_status(run) for run in list_runs(project)]
    if options.json:
        print_json({"project": str(project.path), "runs": states})
        return
    if not states:
        say(f"No runs yet. Start one: threestage run {project.path}")
        return
    notes = known_notes(project)
    rows = [
        (
            _called(state, notes),
            state["state"],
            ", ".join(map(str, state["finished_stages"])) or "–",
            state["doing"],
        )
        for state in states
    ]
    out.print(plain_table(("run", "state", "finished stages", ""), rows))


def _called(state: dict[str, Any], notes: Mapping[str, RunNote]) -> str:
    """Return a run's id, its name where it has one, and what is special about it."""
    note, called = notes.get(state["run"]), str(state["run"])
    if note is not None and note.name:
        called += f" “{note.name}”"
    return called + (" (labels only)" if state["kind"] == "baseline" else "")


def _detach(project: Project, options: argparse.Namespace) -> None:
    arguments = ["--device", options.device]
    for name in ("stages", "preset", "seed", "steps", "resume", "refresh", "baseline"):
        value = getattr(options, name)
        arguments += [f"--{name}", str(value)] if value is not None else []
    arguments += [part for setting in options.set for part in ("--set", setting)]
    run = jobs.start_detached(project, arguments)
    if options.json:
        print_json({"run": run.id})
    else:
        say(f"Run {run.id} trains in the background.")
        say(f"Look: threestage status {project.path}; end: threestage stop {project.path}")


class _StopSignals:
    """While entered, SIGTERM and Ctrl-C ask for the end instead of causing it at once."""

    def __enter__(self) -> _StopSignals:
        self._wanted = False
        self._old = {
            number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)
        }
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def stop_wanted(self) -> bool:
        return self._wanted

    def _ask(self, number: int, frame: object) -> None:
        self._wanted = True


def _json_line(event: Event) -> None:
    """Print an event; a reader that has gone away does not end the training."""
    try:
        sys.stdout.write(event.to_json() + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        forget_reader()


def _status(run: Run) -> dict[str, Any]:
    view, last = RunView.of(run), None
    for last in read_events(run.events_path):
        view.add(last)
    state = run.state()
    return {
        "run": run.id,
        "kind": "baseline" if run.is_baseline else "stages",
        "state": state,
        "stages": [run.inputs.first_stage, run.inputs.last_stage],
        "finished_stages": run.finished_stages(),
        "miou": {
            f"stage {stage.number}, {on}": score.miou
            for stage in view.stages
            for on, score in stage.scores.items()
        },
        "last_event": {"event": last.kind} | asdict(last) if last else None,
        "doing": view.place if state == "interrupted" else view.sentence,
    }


def _print_results(project: Project, run: Run) -> None:
    """Print the scores that the run made: on validation images, or at least on its labels."""
    from napari_threestage.cli.results import stage_metrics

    metrics = {str(stage): stage_metrics(run, stage) for stage in run.finished_stages()}
    on = "validation" if all("validation" in one for one in metrics.values()) else "labelled"
    title = f"On the {on} images" + (" (which it learned from)" if on == "labelled" else "")
    out.print(score_table(title, {stage: one[on] for stage, one in metrics.items()}))
    best = percent(metrics[max(metrics)][on]["miou"]) if metrics else "–"
    if run.is_baseline:
        say(f"Run {run.id} is finished: mIoU {best} % with the labels only.")
        say(f"Next: threestage compare {project.path} --run {run.inputs.baseline_of}")
        return
    learned = " on the images it learned from" if on == "labelled" else " on validation images"
    say(f"Run {run.id} is finished: mIoU {best} % in the last stage{learned}.")
    say(f"Next: threestage evaluate {project.path} --images DIR --masks DIR")

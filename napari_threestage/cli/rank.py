"""``rank``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage import image_statistics, label_queue
from napari_threestage.cli.output import (
    add_command,
    out,
    plain_table,
    print_json,
    progress_bar,
    say,
    where,
)
from napari_threestage.errors import ConfigError
from napari_threestage.project import Project
from napari_threestage.runs import find_run

if TYPE_CHECKING:
    import argparse

    from napari_threestage.label_queue import Queue
    from napari_threestage.runs import Run


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    parser = add_command(
        commands,
        "rank",
        rank,
        "tell which images to label next, and why",
        "threestage rank my_project --top 10",
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--run", help="name of a run; the latest if not given")
    parser.add_argument("--top", type=int, default=20, help="how many images (20)")
    parser.add_argument(
        "--by",
        choices=label_queue.WAYS,
        default="default",
        help="default: what the stages doubt and no label covers; or one ingredient alone",
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is left to chance (0)")
    parser.add_argument("--device", default="auto", help="for runs of older versions")


def rank(options: argparse.Namespace) -> None:
    """Print the queue."""
    if options.top < 1:
        raise ConfigError(f"A queue of {options.top} images helps nobody.", "Give --top 20.")
    project = Project(options.project)
    run = find_run(project, options.run)
    _look_at_the_rest(project, run, options)
    queue = label_queue.rank(project, run, options.top, options.by, options.seed)
    if options.json:
        print_json({"project": str(project.path)} | queue.to_dict())
    else:
        _print(queue)


def _look_at_the_rest(project: Project, run: Run, options: argparse.Namespace) -> None:
    """Note what an older version did not: it is looked at once."""
    finished = run.finished_stages()
    if not finished or run.is_running():
        return
    known = image_statistics.described(run, finished[-1])
    images = [one for one in sorted(run.inputs.images) if one in project.images]
    todo = [one for one in images if one not in known and run.has_mask(finished[-1], one)]
    if not todo:
        return
    from napari_threestage.inference.device import choose_device
    from napari_threestage.training.describe import describe_images

    with progress_bar("looking at the images", options.json) as bar:
        task = bar.add_task("looking", total=len(todo))
        device = choose_device(options.device)
        for _ in describe_images(project, run, finished[-1], todo, device):
            bar.advance(task)


def _print(queue: Queue) -> None:
    if not queue.images:
        say("Every image of the run has labels.")
    else:
        rows = [
            (str(place), one.name, where(one.place.to_dict()), f"{one.score:.2f}", one.reason)
            for place, one in enumerate(queue.images, 1)
        ]
        title = f"Label next, of {queue.candidates:,} images without labels (run {queue.run})"
        out.print(plain_table(("", "image", "at y, x", "worth", "why"), rows, title))
    if queue.left_out:
        some = next(iter(queue.left_out.values()))
        say(f"Not ranked: {len(queue.left_out):,} images. {some} Run again to have them ranked.")

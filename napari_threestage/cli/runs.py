"""``runs``: which there are, what they are called, which to keep and which to delete."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from napari_threestage.cli.output import add_command, out, percent, plain_table, print_json, say
from napari_threestage.cli.progress import add_progress, showing
from napari_threestage.errors import ConfigError
from napari_threestage.memory_estimate import memory_text
from napari_threestage.project import Project
from napari_threestage.run_deletion import delete_runs, runs_to_delete
from napari_threestage.run_notes import id_of, set_note
from napari_threestage.run_upkeep import disk_space, read_rows

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from napari_threestage.run_upkeep import RunRow

OWN = "*"
COLUMNS = ("run", "state", "stages", "mIoU", "size", "labels")


def add_commands(commands: Any) -> None:
    """Add this module's command to the parser."""
    parser = add_command(
        commands,
        "runs",
        runs,
        "list the runs of a project with what is out of date; name, pin and delete them",
        "threestage runs my_project --name 20260131-120000-quick 'before the new labels'",
    )
    parser.add_argument("project", type=Path)
    parser.add_argument(
        "--name",
        nargs=2,
        action="append",
        default=[],
        metavar=("RUN", "TEXT"),
        help="call a run by a name; an empty one takes the name away",
    )
    parser.add_argument(
        "--pin", nargs="+", default=[], metavar="RUN", help="keep a run from being deleted"
    )
    parser.add_argument("--unpin", nargs="+", default=[], metavar="RUN", help="let it be deleted")
    parser.add_argument(
        "--delete",
        nargs="+",
        default=[],
        metavar="RUN",
        help="delete runs with their models and masks; images and labels stay",
    )
    parser.add_argument("--yes", action="store_true", help="delete without asking")
    add_progress(parser)


def runs(options: argparse.Namespace) -> None:
    """Change what is to be changed, then list the runs."""
    project = Project(options.project)
    _change_notes(project, options)
    deleted = _delete(project, options) if options.delete else None
    rows = read_rows(project)
    if options.json:
        gone = {} if deleted is None else {"deleted": _listed(deleted)}
        listed = [row.to_dict() for row in rows]
        print_json({"project": str(project.path), "runs": listed} | gone)
        return
    if deleted is None:
        _print(project, rows)
    else:
        _say_deleted(deleted)


def _change_notes(project: Project, options: argparse.Namespace) -> None:
    both = {id_of(project, one) for one in options.pin} & {
        id_of(project, one) for one in options.unpin
    }
    if both:
        raise ConfigError(f"Run {min(both)} cannot be both pinned and not.", "Leave out one.")
    for run, name in options.name:
        set_note(project, id_of(project, run), name=name)
    for pinned, named in ((True, options.pin), (False, options.unpin)):
        for run in named:
            set_note(project, id_of(project, run), pinned=pinned)


def _delete(project: Project, options: argparse.Namespace) -> dict[str, int]:
    ids = runs_to_delete(project, options.delete)
    if not options.yes:
        if options.json or not sys.stdin.isatty():
            raise ConfigError("Runs are deleted for good, and nobody can be asked.", "Add --yes.")
        if not _agreed(project, ids):
            return {}
    with showing("deleting", options) as show:
        return delete_runs(project, ids, show)


def _agreed(project: Project, ids: Sequence[str]) -> bool:
    """Ask the person at the terminal."""
    for run_id in ids:
        size = memory_text(disk_space([project.path / "runs" / run_id]))
        say(f"{run_id}: {size}")
    what = "this run" if len(ids) == 1 else f"these {len(ids)} runs"
    answer = input(f"Delete {what} with all models and masks? Images and labels stay. [y/N] ")
    return answer.strip().casefold() in ("y", "yes")


def _listed(deleted: dict[str, int]) -> list[dict[str, object]]:
    return [{"run": run_id, "bytes": size} for run_id, size in deleted.items()]


def _say_deleted(deleted: dict[str, int]) -> None:
    if not deleted:
        say("Nothing was deleted.")
    for run_id, size in deleted.items():
        say(f"Deleted {run_id}: {memory_text(size)} are free again.")


def _print(project: Project, rows: Sequence[RunRow]) -> None:
    """Print a table, the latest run last, and below it what is out of date."""
    if not rows:
        say(f"No runs yet. Start one: threestage run {project.path}")
        return
    table = plain_table(COLUMNS, [_cells(row) for row in reversed(rows)])
    table.columns[0].no_wrap = True
    out.print(table)
    if any(row.on == "labelled" for row in rows):
        say(f"{OWN} on the labels that the run learned from: it had no validation images")
    say(f"Space of all runs: {memory_text(sum(row.bytes for row in rows))}.")
    _say_stale(rows[::-1])
    latest = next((row for row in rows if row.kind == "stages"), None)
    if latest is not None and latest.stale:
        called = latest.name or latest.run
        say(f"Train {called} once more, from its weights: threestage run {project.path} --refresh")


def _say_stale(rows: Sequence[RunRow]) -> None:
    """Print what is out of date, runs of the same reasons together."""
    for reasons in dict.fromkeys(row.stale for row in rows if row.stale):
        names = [escape(row.name or row.run) for row in rows if row.stale == reasons]
        out.print(f"[yellow]Out of date:[/] {', '.join(names)}")
        for reason in reasons:
            say(f"  {reason}")


def _cells(row: RunRow) -> tuple[str, ...]:
    own = OWN if row.on == "labelled" else ""
    done = f"{len(row.finished_stages)} of {row.stages[1]}"
    return (
        "\n".join(
            [*([row.name] if row.name else []), row.run, *(["pinned"] if row.pinned else [])]
        ),
        row.state,
        "labels only" if row.kind == "baseline" else done,
        "–" if row.miou is None else percent(row.miou) + own,
        memory_text(row.bytes),
        f"{row.labelled_images:,} image{'' if row.labelled_images == 1 else 's'}",
    )

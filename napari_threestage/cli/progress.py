"""How far a command is: a bar for people, lines of JSON for programs."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_threestage.cli.output import progress_bar

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator


def add_progress(parser: argparse.ArgumentParser) -> None:
    """Add ``--progress``."""
    parser.add_argument(
        "--progress",
        action="store_true",
        help='say on stderr how far it is, as lines of JSON: {"done": 3, "total": 40}',
    )


@contextmanager
def showing(
    text: str, options: argparse.Namespace, **entries: str
) -> Iterator[Callable[[int, int | None], None]]:
    """Yield what is to be called with the work done and all of it, None where nobody knows.

    Parameters
    ----------
    text
        What goes on, beside the bar.
    entries
        Goes into each line for programs.
    """
    if options.progress:
        yield lambda done, total: _print_line({**entries, "done": done, "total": total})
        return
    with progress_bar(text, options.json) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print_line(content: dict[str, object]) -> None:
    print(json.dumps(content), file=sys.stderr, flush=True)

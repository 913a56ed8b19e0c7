"""The command line: parse, call, print, and turn errors into sentences and exit codes."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, TextIO, cast

from napari_threestage import __version__
from napari_threestage.cli import (
    adapt,
    benchmark,
    budget,
    compare,
    data,
    demo,
    doctor,
    export,
    masks,
    predict,
    rank,
    report,
    results,
    runs,
    sample,
    suspects,
    training,
)
from napari_threestage.cli.output import forget_reader
from napari_threestage.errors import Stopped, ThreeStageError
from napari_threestage.events import Failed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DONE, WRONG_INPUT, BUG, STOPPED = 0, 1, 2, 3

# How long a thread of torch that waits for the others keeps its core busy before it lets go; read
# when torch is loaded. Where other programs want the cores, its own 300,000 make every step wait
# for threads that are not running, some fifty times slower; so few cost a few percent where nobody
# does.
SPINS = "1000"


class _Parser(argparse.ArgumentParser):
    """Wrong arguments are wrong input: one sentence and exit code 1."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(WRONG_INPUT, f"error: {message}\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="threestage",
        description="Three-stage self-training: few labels, many images, one segmenter.",
        epilog="Begin with: threestage demo",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules = (
        data,
        sample,
        training,
        runs,
        results,
        compare,
        rank,
        suspects,
        budget,
        report,
        predict,
        adapt,
        masks,
        export,
        demo,
        doctor,
        benchmark,
    )
    for module in modules:
        module.add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 wrong input, 2 our bug, 3 stopped."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    options = build_parser().parse_args(arguments)
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    stdout = _WatchedStdout()
    with contextlib.redirect_stdout(cast("TextIO", stdout)), _ended_as_by_ctrl_c():
        return _act(options, stdout)


@contextlib.contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """While entered, SIGTERM ends a command as Ctrl-C does, which saves or cleans up.

    Programs that start commands send it: Ctrl-C is ignored by what a shell has put in the
    background.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _WatchedStdout:
    """The stdout of this moment; it notes whether anything was written."""

    def __init__(self) -> None:
        self._stream = sys.stdout
        self.used = False

    def write(self, text: str) -> int:
        self.used = True
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _act(options: argparse.Namespace, stdout: _WatchedStdout) -> int:
    try:
        code: int = options.action(options) or DONE
        return code
    except ThreeStageError as error:
        failed = Failed(error=type(error).__name__, message=error.message, hint=error.hint)
        code = WRONG_INPUT
    except (Stopped, KeyboardInterrupt):
        saved = options.command in ("run", "benchmark")
        print("Stopped; everything is saved." if saved else "Stopped.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        forget_reader()
        return DONE
    except OSError as error:
        name = f": {error.filename}" if error.filename else ""
        failed = Failed(error="OSError", message=f"{error.strerror or error}{name}")
        code = WRONG_INPUT
    except Exception as error:
        traceback.print_exc()
        failed = Failed(error=type(error).__name__, message=f"This is a bug of ours: {error}")
        code = BUG
    _report(options, failed, begun=stdout.used)
    return code


def _report(options: argparse.Namespace, failed: Failed, begun: bool) -> None:
    """Print an error; a run that has begun has told it as its last event already."""
    sentence = f"{failed.message} {failed.hint}".strip()
    print(f"error: {sentence}", file=sys.stderr)
    if not getattr(options, "json", False):
        return
    if options.command != "run":
        print(json.dumps({"error": failed.error, "message": sentence}))
    elif not begun:
        print(failed.to_json())

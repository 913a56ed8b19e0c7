"""The command line: parse, call, print, and turn errors into sentences and exit codes."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import traceback
from typing import TYPE_CHECKING

from napari_threestage import __version__
from napari_threestage.cli import data, demo, doctor, results, training
from napari_threestage.cli.output import forget_reader
from napari_threestage.errors import Stopped, ThreeStageError

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE, WRONG_INPUT, BUG, STOPPED = 0, 1, 2, 3


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
    for module in (data, training, results, demo, doctor):
        module.add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 wrong input, 2 our bug, 3 stopped."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    options = build_parser().parse_args(arguments)
    try:
        code: int = options.action(options) or DONE
        return code
    except ThreeStageError as error:
        return _report(options, type(error).__name__, str(error), WRONG_INPUT)
    except (Stopped, KeyboardInterrupt):
        print("Stopped; everything is saved.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        forget_reader()
        return DONE
    except OSError as error:
        name = f": {error.filename}" if error.filename else ""
        return _report(options, "OSError", f"{error.strerror or error}{name}", WRONG_INPUT)
    except Exception as error:
        traceback.print_exc()
        return _report(options, type(error).__name__, f"This is a bug of ours: {error}", BUG)


def _report(options: argparse.Namespace, kind: str, message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    if getattr(options, "json", False) and options.command != "run":
        print(json.dumps({"error": kind, "message": message}))
    return code

"""What exports and applications say when they are done, in sentences for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_LINES = 4  # of what failed


def say_export(report: Mapping[str, Any]) -> tuple[str, str]:
    """Return what an export says of itself: the file, and how it was checked."""
    size = report.get("bytes")
    told = f" ({_bytes(size)})" if isinstance(size, int) else ""
    sentence = f"Wrote {Path(str(report['file'])).name}{told}."
    difference = report.get("largest_difference")
    if not isinstance(difference, (int, float)):
        return sentence, ""
    by = _with(report.get("checked_with"))
    found = f"largest difference {_number(difference)}" if difference else "no difference"
    return sentence, f"Verified{by}: {found}."


def say_pixels(report: Mapping[str, Any]) -> str:
    """Return which pixels have another size than in the training; empty where all are alike."""
    found = list(report.get("other_pixels", ()))
    if not found:
        return ""
    told = [f"{factor:.3g} times in {name}" for name, factor in found[:MOST_LINES]]
    rest = len(found) - MOST_LINES
    told += [f"{rest} more"] if rest > 0 else []
    return (
        f"Pixels are not as large as in the training: {', '.join(told)}. If masks are poor, set "
        "Magnify to that."
    )


def say_applied(report: Mapping[str, Any]) -> tuple[str, str]:
    """Return how many masks were written, and why others were not."""
    written, failed = len(report["files"]), list(report.get("failed", ()))
    sentence = f"Wrote {_masks(written)}." if written else "Nothing was written."
    if not failed:
        return sentence, say_pixels(report)
    lines = [
        str(reason) if str(reason).startswith(str(name)) else f"{name}: {reason}"
        for name, reason in failed[:MOST_LINES]
    ]
    rest = len(failed) - MOST_LINES
    lines += [f"… and {rest} more."] if rest > 0 else []
    return f"{sentence} {len(failed)} could not be segmented:", "\n".join(lines)


def say_masks(report: Mapping[str, Any]) -> tuple[str, str]:
    """Return how many masks were written, and how many images have none."""
    files, without = report["files"], report.get("without_mask", 0)
    count = without if isinstance(without, int) else len(without)
    sentence = f"Wrote {_masks(len(files))}"
    sentence += " and their statistics." if report.get("statistics") else "."
    have = "image has" if count == 1 else "images have"
    return sentence, f"{count:,} {have} no such mask." if count else ""


def _with(programs: object) -> str:
    """Return which programs, given by name and version or as a name, something was done with."""
    if isinstance(programs, dict):
        programs = ", ".join(f"{name} {version}" for name, version in programs.items())
    return f" with {programs}" if programs else ""


def _masks(count: int) -> str:
    return f"{count:,} file" + ("" if count == 1 else "s")


def _bytes(count: int) -> str:
    return f"{count / 2**20:.1f} MB" if count >= 2**20 else f"{max(1, count // 2**10)} KB"


def _number(value: float) -> str:
    """Return a number as people write it: 3e-7."""
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if not 0.01 <= value < 1000 else f"{value:.2g}"

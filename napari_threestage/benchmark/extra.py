"""Packages that only a benchmark needs."""

from __future__ import annotations

from napari_threestage.errors import NotReadyError


def missing_package(name: str) -> NotReadyError:
    """Return the error to raise when a package of the extra ``benchmark`` cannot be imported."""
    return NotReadyError(
        f"The package {name} is not installed.",
        "Install it: pip install 'napari-threestage[benchmark]'.",
    )

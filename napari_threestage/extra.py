"""Packages that not everybody needs: those of the extras in ``pyproject.toml``."""

from __future__ import annotations

from napari_threestage.errors import NotReadyError


def missing_package(name: str, extra: str) -> NotReadyError:
    """Return the error to raise when a package of an extra cannot be imported."""
    return NotReadyError(
        f"The package {name} is not installed.",
        f"Install it: pip install 'napari-threestage[{extra}]'; in a clone of the project: "
        f".tools/bin/uv pip install --python .venv/bin/python -e '.[{extra}]'.",
    )

"""What a person sets in napari's preferences for this plugin."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Preferences; the names are those of ``configurations`` in the manifest."""

    device: str = "auto"
    threads: int = 0
    preset: str = "quick"
    cache_gigabytes: float = 1.0
    show_new_masks: bool = True


def options() -> Options:
    """Return the preferences, or the defaults where napari knows of none."""
    from napari.settings import get_plugin_settings

    try:
        group = get_plugin_settings("napari-threestage").training
    except Exception as error:  # of another version of napari, or a damaged file
        log.warning("The preferences could not be read: %s", error)
        return Options()
    known = {entry.name for entry in fields(Options)}
    return Options(**{name: getattr(group, name) for name in known if hasattr(group, name)})

"""Labels that a person has looked at and said to be right although the stages contradict them.

They are kept in ``label_checks.json`` of the project, so that nobody is asked twice.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_threestage.compare.places import Place
from napari_threestage.errors import ConfigError, ProjectError
from napari_threestage.files import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from napari_threestage.project import Project

_KEY = re.compile(r"(?P<image>[^:]+):(\d+)-(\d+):((?:\d+,)*\d+|):(\d+)-(\d+):(\d+)-(\d+)")
_ENOUGH = 0.5  # of either window has to lie in the other, for both to be about the same label


@dataclass(frozen=True)
class Spot:
    """Where a label is doubted, in words that mean the same for the next run.

    Attributes
    ----------
    image
        Id of the image.
    painted, found
        Ids of the classes.
    box
        The smallest window that holds the spot.
    """

    image: str
    painted: int
    found: int
    box: Place

    @property
    def key(self) -> str:
        """The spot as one word, which a shell takes as it is."""
        plane = ",".join(map(str, self.box.plane))
        (top, bottom), (left, right) = self.box.rows, self.box.columns
        classes = f"{self.painted}-{self.found}"
        return f"{self.image}:{classes}:{plane}:{top}-{bottom}:{left}-{right}"

    @classmethod
    def from_key(cls, key: str) -> Spot:
        """Read what `key` gave; `ConfigError` when it is something else."""
        found = _KEY.fullmatch(key)
        if found is None:
            raise ConfigError(
                f"'{key}' is no key of a suspected label.",
                "Copy it from what threestage suspects prints.",
            )
        image, painted, meant, plane, *sides = found.groups()
        top, bottom, left, right = map(int, sides)
        indices = tuple(int(index) for index in plane.split(",") if index)
        box = Place(indices, (top, bottom), (left, right))
        return cls(image, int(painted), int(meant), box)

    def is_about(self, other: Spot) -> bool:
        """Whether both doubt the same label: the next run finds it some pixels larger or smaller.

        One that has grown to more than twice its size is another: more has been painted since.
        """
        mine = (self.image, self.painted, self.found, self.box.plane)
        if mine != (other.image, other.painted, other.found, other.box.plane):
            return False
        shared = _overlap(self.box.rows, other.box.rows) * _overlap(
            self.box.columns, other.box.columns
        )
        return shared >= _ENOUGH * max(_area(self.box), _area(other.box))


def read_right(project: Project) -> list[Spot]:
    """Return the labels that a person said to be right; merged classes are what they are now.

    Raises
    ------
    ProjectError
        The file is damaged.
    """
    resolve = project.class_table.resolve
    spots = [Spot.from_key(key) for key in _read(project)]
    return [
        replace(spot, painted=resolve(spot.painted), found=resolve(spot.found)) for spot in spots
    ]


def dismiss(project: Project, keys: Iterable[str]) -> int:
    """Note that labels are right; return how many are now.  Whoever calls holds `Project.editing`.

    Raises
    ------
    ConfigError
        One of them is no key of an image of this project; none is noted then.
    ProjectError
        The file is damaged or cannot be written.
    """
    spots = [_checked(project, key) for key in keys]
    return _change(project, lambda noted: noted.update({one.key: time.time() for one in spots}))


def undismiss(project: Project, keys: Iterable[str]) -> int:
    """Take back that labels are right, see `dismiss`; `ConfigError` for one that nobody noted."""
    wanted, known = list(keys), _read(project)
    for key in wanted:
        if key not in known:
            raise ConfigError(
                f"Nobody has said that the label '{key}' is right.",
                "The keys are in label_checks.json of the project.",
            )
    return _change(project, lambda noted: [noted.pop(key, None) for key in wanted])


def _checked(project: Project, key: str) -> Spot:
    spot = Spot.from_key(key)
    if spot.image not in project.images:
        raise ConfigError(
            f"The project has no image {spot.image}.",
            "Copy the key from what threestage suspects prints.",
        )
    return spot


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


def _area(box: Place) -> int:
    return (box.rows[1] - box.rows[0]) * (box.columns[1] - box.columns[0])


def _read(project: Project) -> dict[str, float]:
    file = _file(project)
    try:
        noted = {str(key): float(when) for key, when in json.loads(file.read_text()).items()}
        for key in noted:
            Spot.from_key(key)
        return noted
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, ConfigError) as error:
        raise ProjectError(
            f"{file} cannot be read ({error}).",
            "It only says which labels are right: restore a copy, or remove it.",
        ) from error


def _change(project: Project, change: Callable[[dict[str, float]], object]) -> int:
    noted = _read(project)
    change(noted)
    try:
        write_json(_file(project), noted)
    except OSError as error:
        raise ProjectError(
            f"{_file(project)} cannot be written ({error.strerror}).",
            "Free some space, or repair the rights of the folder.",
        ) from error
    return len(noted)


def _file(project: Project) -> Path:
    return project.path / "label_checks.json"

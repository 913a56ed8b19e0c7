"""Scores of images of one kind: one microscope, material or day, as their names tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_threestage.compare.confusion import Confusion, Scores
from napari_threestage.files import name_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OTHER = "other"


class ConfusionsByKind:
    """Counts the masks of several stages, apart for each kind of image.

    Parameters
    ----------
    classes
        Names of the classes 1..C in order.
    stages
        Their numbers.
    pattern
        A regular expression. What it finds in the name of an image is the image's kind: the first
        of its groups that takes part, or all that is found where it has none. Other images are of
        the kind ``other``. None: there are no kinds.

    Raises
    ------
    ConfigError
        The pattern makes no sense.
    """

    def __init__(
        self, classes: Sequence[str], stages: Sequence[int], pattern: str | None = None
    ) -> None:
        self._classes, self._stages = classes, stages
        self._pattern = None if pattern is None else name_pattern(pattern)
        self._kinds: dict[str, dict[int, Confusion]] = {}
        self._images: dict[str, int] = {}

    def of(self, name: str) -> dict[int, Confusion]:
        """Return what the masks of an image, one of each stage, are to be added to."""
        kind = self._kind(name)
        if kind not in self._kinds:
            self._kinds[kind] = self._empty()
        self._images[kind] = self._images.get(kind, 0) + 1
        return self._kinds[kind]

    def scores(self, stage: int) -> Scores:
        """Return the scores of a stage on all images."""
        return self._whole()[stage].scores()

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON holds them: ``stages``, and ``kinds`` where there are some."""
        found: dict[str, Any] = {"stages": _scores(self._whole())}
        if self._pattern is not None:
            found["kinds"] = {
                kind: {"images": self._images[kind], "stages": _scores(of_kind)}
                for kind, of_kind in sorted(self._kinds.items())
            }
        return found

    def _whole(self) -> dict[int, Confusion]:
        """Return what was counted of all images."""
        whole = self._empty()
        for of_kind in self._kinds.values():
            for stage, confusion in of_kind.items():
                whole[stage].matrix += confusion.matrix
        return whole

    def _empty(self) -> dict[int, Confusion]:
        return {stage: Confusion(self._classes) for stage in self._stages}

    def _kind(self, name: str) -> str:
        match = self._pattern.search(name) if self._pattern else None
        if match is None:
            return OTHER
        found = match.groups() if match.re.groups else (match.group(),)
        return next(filter(None, found), OTHER)


def _scores(confusions: Mapping[int, Confusion]) -> dict[str, Any]:
    return {str(stage): one.scores().to_dict() for stage, one in confusions.items()}

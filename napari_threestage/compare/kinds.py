"""Scores of images of one kind: one microscope, material or day, as their names tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_threestage.compare.confusion import Confusion, Scores
from napari_threestage.files import name_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

OTHER = "other"


class ConfusionsByKind:
    """Counts the masks of several stages, of all images and of each kind.

    Parameters
    ----------
    classes
        Names of the classes 1..C in order.
    stages
        Their numbers.
    pattern
        A regular expression. Where it is found in the name of an image, its first group is the
        kind, or else all of it; other images are of the kind ``other``. None: there are no kinds.

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
        self._all = self._confusions()
        self._kinds: dict[str, dict[int, Confusion]] = {}
        self._images: dict[str, int] = {}

    def add(self, name: str, truth: np.ndarray, predictions: Mapping[int, np.ndarray]) -> None:
        """Count the mask of each stage of an image, see `Confusion.add`."""
        kind = self._kind(name)
        self._images[kind] = self._images.get(kind, 0) + 1
        of_kind = self._kinds.setdefault(kind, self._confusions())
        for stage, prediction in predictions.items():
            self._all[stage].add(truth, prediction)
            of_kind[stage].add(truth, prediction)

    def scores(self, stage: int) -> Scores:
        """Return the scores of a stage on all images."""
        return self._all[stage].scores()

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON holds them: ``stages``, and ``kinds`` where there are some."""
        found: dict[str, Any] = {"stages": _scores(self._all)}
        if self._pattern is not None:
            found["kinds"] = {
                kind: {"images": self._images[kind], "stages": _scores(self._kinds[kind])}
                for kind in sorted(self._kinds)
            }
        return found

    def _kind(self, name: str) -> str:
        match = self._pattern.search(name) if self._pattern else None
        if match is None:
            return OTHER
        return (match.group(1) if match.re.groups else match.group()) or OTHER

    def _confusions(self) -> dict[int, Confusion]:
        return {stage: Confusion(self._classes) for stage in self._stages}


def _scores(confusions: Mapping[int, Confusion]) -> dict[str, Any]:
    return {str(stage): one.scores().to_dict() for stage, one in confusions.items()}

"""What can be seen of an image in one go: mask, confidence, features, and doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_threestage.inference.features import FeatureMean

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from napari_threestage.inference.segmenter import Segmenter
    from napari_threestage.store import ImageArray


class Seen(NamedTuple):
    """What was seen of an image.

    Attributes
    ----------
    mask, confidence
        See `inference.segmenter.Prediction`.
    features
        See `inference.features.FeatureMean`; None where the network was not asked.
    inconsistency
        Share of the pixels that student and teacher give different classes; None without a student.
    """

    mask: np.ndarray
    confidence: np.ndarray
    features: np.ndarray | None = None
    inconsistency: float | None = None


class Witness:
    """Looks at images with the segmenter of a stage.

    Parameters
    ----------
    segmenter
        What the stage ended with: the teacher where there is one.
    student
        The network that the teacher is the average of; only its doubts are asked for.
    """

    def __init__(self, segmenter: Segmenter, student: Segmenter | None = None) -> None:
        self._segmenter, self._student = segmenter, student

    def look(self, image: ImageArray, obey: Callable[[], None] = lambda: None) -> Seen:
        """Predict an image; `obey` is called before every tile and raises to end."""
        with FeatureMean(self._segmenter) as mean:
            mask, confidence = self._segmenter.predict(image, obey)
        inconsistency = None
        if self._student is not None:
            inconsistency = float((self._student.predict(image, obey)[0] != mask).mean())
        return Seen(mask, confidence, mean.take(), inconsistency)

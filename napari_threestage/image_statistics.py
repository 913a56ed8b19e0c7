"""What a stage says of each image in a few numbers, so that nobody has to look at pixels again.

A stage appends a line to ``images.jsonl`` of its folder when the image's masks are on disk: how
much of each class, how sure, what changed since the stages before, where the image is most
disputed, and what it looks like to the encoder.
"""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_threestage.compare.changes import disagreement, parts, transitions
from napari_threestage.compare.places import Place, strongest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from napari_threestage.runs import Run

FILES = "images*.jsonl"  # each process that trains with others has its own
Features = npt.NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """A stage's view of an image.

    Attributes
    ----------
    image
        Its id.
    counts
        Pixels of each class, (C,).
    confidence
        Mean probability of the predicted class, 0..1.
    disagreement
        Share of the pixels that not all stages so far give the same class.
    changed
        From each earlier stage to this one, how many pixels went from each class (rows) to each
        class, (C, C).
    place, peak
        The window where the stage is least sure and the stages differ most, and how much: the mean
        there of 1 - confidence, with 1 added where they differ.
    inconsistency
        Share of the pixels that student and teacher give different classes; None without both.
    features
        Mean of the encoder's last map, projected; None where the network was not asked.
    """

    image: str
    counts: npt.NDArray[np.int64]
    confidence: float
    disagreement: float
    changed: Mapping[int, npt.NDArray[np.int64]]
    place: Place
    peak: float
    inconsistency: float | None = None
    features: Features | None = None

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(self.counts.sum())

    @property
    def uncertainty(self) -> float:
        """Mean of 1 - confidence."""
        return 1 - self.confidence

    def to_json(self) -> str:
        """Return the line of the file."""
        features = None if self.features is None else self.features.astype("<f2").tobytes()
        return json.dumps(
            {
                "image": self.image,
                "counts": self.counts.tolist(),
                "confidence": round(self.confidence, 6),
                "disagreement": round(self.disagreement, 6),
                "changed": {stage: table.tolist() for stage, table in self.changed.items()},
                "place": self.place.to_dict(),
                "peak": round(self.peak, 6),
                "inconsistency": self.inconsistency,
                "features": None if features is None else base64.b64encode(features).decode(),
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, line: str | bytes) -> ImageStatistics:
        """Read a line; ValueError, KeyError or TypeError when it is something else."""
        content: dict[str, Any] = json.loads(line)
        coded = content["features"]
        features = None if coded is None else np.frombuffer(base64.b64decode(coded), "<f2")
        return cls(
            image=str(content["image"]),
            counts=np.array(content["counts"], np.int64),
            confidence=float(content["confidence"]),
            disagreement=float(content["disagreement"]),
            changed={
                int(stage): np.array(table, np.int64) for stage, table in content["changed"].items()
            },
            place=Place.from_dict(content["place"]),
            peak=float(content["peak"]),
            inconsistency=content["inconsistency"],
            features=features,
        )


def describe(
    image: str,
    mask: np.ndarray,
    confidence: np.ndarray,
    earlier: Mapping[int, np.ndarray],
    n_classes: int,
    inconsistency: float | None = None,
    features: Features | None = None,
) -> ImageStatistics:
    """Look at what a stage found for an image.

    Parameters
    ----------
    mask
        1..C, any shape that ends in (H, W).
    confidence
        0..255, the same shape.
    earlier
        Masks of the stages before, by stage.
    """
    doubt = np.empty(mask.shape, np.float32)
    counts, n_disputed = np.zeros(n_classes + 1, np.int64), 0
    for into, now, sure, *before in parts(doubt, mask, confidence, *earlier.values()):
        disputed = disagreement([*before, now]) > 0
        np.divide(255 - sure, 255, out=into)
        into += disputed
        counts += np.bincount(now, minlength=n_classes + 1)
        n_disputed += int(disputed.sum())
    place, peak = strongest(doubt)
    return ImageStatistics(
        image=image,
        counts=counts[1:],
        confidence=float(confidence.mean(dtype=np.float64)) / 255,
        disagreement=n_disputed / mask.size,
        changed={stage: transitions(one, mask, n_classes) for stage, one in earlier.items()},
        place=place,
        peak=peak,
        inconsistency=inconsistency,
        features=features,
    )


def describe_in(
    run: Run,
    stage: int,
    image: str,
    mask: np.ndarray,
    confidence: np.ndarray,
    inconsistency: float | None = None,
    features: Features | None = None,
) -> ImageStatistics:
    """Look at what a stage of a run found for an image, beside what the stages before found."""
    before = [one for one in range(1, stage) if run.has_mask(one, image)]
    earlier = {one: run.read_mask(one, image) for one in before}
    n_classes = len(run.inputs.classes)
    return describe(image, mask, confidence, earlier, n_classes, inconsistency, features)


def read_statistics(run: Run, stage: int) -> dict[str, ImageStatistics]:
    """Return what a stage noted, by image id; nothing for runs of older versions.

    The last line of an image counts; half a line that a killed process left does not.
    """
    found = {}
    for path in sorted(run.stage_path(stage).glob(FILES)):
        for line in _lines(path):
            try:
                one = ImageStatistics.from_json(line)
            except (ValueError, KeyError, TypeError):
                continue
            found[one.image] = one
    return found


def described(run: Run, stage: int) -> set[str]:
    """Return the images that a stage has a line of."""
    found = set()
    for path in sorted(run.stage_path(stage).glob(FILES)):
        for line in _lines(path):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                found.add(str(json.loads(line)["image"]))
    return found


def append(path: Path, statistics: Iterable[ImageStatistics]) -> None:
    """Add lines to a file; half a line that a killed process left is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{one.to_json()}\n" for one in statistics).encode()
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, 2)
            if file.read() != b"\n":
                file.write(b"\n")
        file.write(text)


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []

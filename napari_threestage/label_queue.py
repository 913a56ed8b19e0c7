"""Which image to label next, and why.

An image is worth a label when the stages are in doubt about it, and about others that look like it
and like no labelled image.  So the queue covers the doubt of the project: with w the doubt of an
image and s the similarity of two images to the encoder, the next image j is the one with the
largest ::

    w_j · Σ_i w_i · max(0, s_ij - c_i)        c_i: similarity of i to the most similar image that is
                                              labelled or in the queue already

A near-duplicate of what is labelled or chosen adds nothing to the sum, and an oddity only itself.
All of it comes from `image_statistics`; no pixel is looked at.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from napari_threestage.errors import NotReadyError
from napari_threestage.image_statistics import read_statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_threestage.compare.places import Place
    from napari_threestage.image_statistics import ImageStatistics
    from napari_threestage.project import Project
    from napari_threestage.runs import Run

By = Literal["default", "disagreement", "uncertainty", "inconsistency", "diversity", "random"]
WAYS: tuple[By, ...] = get_args(By)

WITNESSES = 2000  # images that stand for all others where there are more: it bounds time and memory
STRIKING = 0.7  # an image that is ahead of so many others in something is told so
ALIKE = 0.5  # similarity from which an image is said to stand for another
REASONS = 2  # that are told of an image
DIGITS = 4  # of what an image adds: what the last ones say is rounding


@dataclass(frozen=True)
class Ranked:
    """An image of the queue.

    Attributes
    ----------
    score
        0..1: its worth as a share of that of the first.
    reason
        Why it is there.
    disagreement, uncertainty, inconsistency
        See `ImageStatistics`.
    novelty
        1 - similarity to the most similar labelled image; None without features.
    place
        The window to look at first.
    """

    image: str
    name: str
    score: float
    reason: str
    disagreement: float
    uncertainty: float
    inconsistency: float | None
    novelty: float | None
    place: Place


@dataclass(frozen=True)
class Queue:
    """The images worth a label, the most worthy first.

    Attributes
    ----------
    candidates
        How many images without labels were looked at.
    left_out
        Why others were not, by image id.
    """

    run: str
    by: By
    images: list[Ranked]
    candidates: int
    left_out: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the queue as JSON holds it."""
        shown = list(self.left_out.items())[:20]
        return {
            "run": self.run,
            "by": self.by,
            "ranked": self.candidates,
            "left_out": [{"image": image, "reason": reason} for image, reason in shown],
            "left_out_count": len(self.left_out),
            "images": [
                {"rank": rank} | vars(one) | {"place": one.place.to_dict()}
                for rank, one in enumerate(self.images, 1)
            ],
        }


def rank(project: Project, run: Run, top: int = 20, by: By = "default", seed: int = 0) -> Queue:
    """Return the images to label next.

    Parameters
    ----------
    run
        What its last finished stage noted is used.
    top
        How many images at most.
    by
        ``default``, or one of its ingredients alone; ``diversity`` covers all images alike.
    seed
        Of ``random``, and of the choice among very many images.

    Raises
    ------
    NotReadyError
        The run has no finished stage, or noted nothing of its images.
    """
    known = _known(run)
    labelled, candidates, left_out = _sorted_out(project, known)
    if by == "random":
        order = np.random.default_rng(seed).permutation(len(candidates))[:top]
        worth = np.ones(len(order))
    else:
        order, worth = np.arange(0), np.zeros(0)
    view = _View([known[one] for one in candidates], [known[one] for one in labelled], seed)
    if by != "random" and candidates:
        order, worth = view.choose(by, min(top, len(candidates)))
    reasons = view.reasons(order)
    images = [
        view.ranked(at, project.images[candidates[at]].name, value, reason)
        for at, value, reason in zip(order.tolist(), worth.tolist(), reasons, strict=True)
    ]
    return Queue(run.id, by, images, len(candidates), left_out)


def _known(run: Run) -> dict[str, ImageStatistics]:
    finished = run.finished_stages()
    if not finished:
        raise NotReadyError(
            f"Run {run.id} has no finished stage yet, so nothing is known of the images.",
            "Wait for it, or go on with it: threestage run PROJECT --resume",
        )
    known = read_statistics(run, finished[-1])
    if not known:
        raise NotReadyError(
            f"Run {run.id} was made by an older version, which noted nothing of its images.",
            "Let threestage rank look at them once, or start a new run.",
        )
    return known


def _sorted_out(
    project: Project, known: Mapping[str, ImageStatistics]
) -> tuple[list[str], list[str], dict[str, str]]:
    """Return the labelled images, those that may be labelled, and why others may not."""
    labelled, candidates, left_out = [], [], {}
    for image_id, record in project.images.items():
        if record.split == "validation":
            continue  # they only judge
        if image_id not in known:
            left_out[image_id] = "It was imported after the run began."
        elif project.label_counts(image_id)[1:].any():
            labelled.append(image_id)
        else:
            candidates.append(image_id)
    return labelled, candidates, left_out


class _View:
    """What is known of the candidates, as arrays."""

    def __init__(
        self, candidates: Sequence[ImageStatistics], labelled: Sequence[ImageStatistics], seed: int
    ) -> None:
        self._candidates = candidates
        self.disagreement = np.array([one.disagreement for one in candidates])
        self.uncertainty = np.array([one.uncertainty for one in candidates])
        self.inconsistency = np.array(
            [np.nan if one.inconsistency is None else one.inconsistency for one in candidates]
        )
        self._places = {
            "disagreement": _percentiles(self.disagreement),
            "uncertainty": _percentiles(self.uncertainty),
            "inconsistency": _percentiles(self.inconsistency),
        }
        told = [place for place in self._places.values() if not np.isnan(place).all()]
        self.doubt = np.nanmean(told, axis=0) if told else np.zeros(len(candidates))
        mine, theirs = _directions(candidates, labelled)
        self._mine = mine
        self.covered = None if mine is None else _most_similar(mine, theirs)
        self._witnesses = _some(len(candidates), seed)

    def choose(self, by: By, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the chosen candidates in order, and their worth as a share of the first's."""
        if by in self._places:
            value = np.nan_to_num(getattr(self, by), nan=0.0)
            order = np.argsort(-value, kind="stable")[:count]
            worth = value[order]
        elif self._mine is None:  # nothing is known of how they look
            order = np.argsort(-self.doubt, kind="stable")[:count]
            worth = self.doubt[order]
        else:
            weights = np.ones_like(self.doubt) if by == "diversity" else self.doubt
            order, worth = self._cover(weights, count)
        return order, worth / worth[0] if worth[0] > 0 else np.zeros(len(worth))

    def _cover(self, weights: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        assert self._mine is not None and self.covered is not None
        seen = self._witnesses
        similar = np.clip(self._mine @ self._mine[seen].T, 0, 1)
        covered, weights = self.covered[seen], weights.astype(np.float32)

        def gain(at: int | slice) -> np.ndarray:
            added = np.maximum(similar[at] - covered, 0) @ weights[seen]
            return np.asarray(np.round(weights[at] * added, DIGITS))

        # What an image adds only becomes less as others are chosen: one that still adds what it did
        # when it was put in front of all others is the best. Of those that add nothing the most
        # doubted comes first.
        waiting = [
            (-float(added), -float(weights[at]), at) for at, added in enumerate(gain(slice(None)))
        ]
        heapq.heapify(waiting)
        order: list[int] = []
        worth: list[float] = []
        while waiting and len(order) < count:
            before, doubt, at = heapq.heappop(waiting)
            now = float(gain(at))
            if now < -before:
                heapq.heappush(waiting, (-now, doubt, at))
                continue
            order.append(at)
            worth.append(now)
            covered = np.maximum(covered, similar[at])
        return np.array(order), np.array(worth)

    def ranked(self, at: int, name: str, score: float, reason: str) -> Ranked:
        """Return a candidate as it is shown."""
        one = self._candidates[at]
        novelty = None if self.covered is None else round(1 - float(self.covered[at]), 4)
        return Ranked(
            image=one.image,
            name=name,
            score=round(score, 4),
            reason=reason,
            disagreement=one.disagreement,
            uncertainty=round(one.uncertainty, 6),
            inconsistency=one.inconsistency,
            novelty=novelty,
            place=one.place,
        )

    def reasons(self, order: np.ndarray) -> list[str]:
        """Say why each of the chosen is worth a label."""
        novelty = None if self.covered is None else _percentiles(1 - self.covered)
        return [self._reason(int(at), novelty) for at in order]

    def _reason(self, at: int, novelty: np.ndarray | None) -> str:
        told = [
            (place[at], SENTENCES[name](getattr(self, name)[at]))
            for name, place in self._places.items()
            if place[at] >= STRIKING
        ]
        if novelty is not None and novelty[at] >= STRIKING:
            told.append((novelty[at], "unlike any labelled image"))
        told.sort(key=lambda one: -one[0])
        parts = [sentence for _, sentence in told[:REASONS]]
        alike = self._alike(at)
        if alike > 1 or not parts:
            others = f"looks like {alike} other images without labels"
            parts.append(others if alike > 1 else "adds to what is labelled")
        text = "; ".join(parts)
        return text[0].upper() + text[1:]

    def _alike(self, at: int) -> int:
        """Return how many other candidates look like this one, about."""
        if self._mine is None:
            return 0
        share = float((self._mine[self._witnesses] @ self._mine[at] >= ALIKE).mean())
        return max(0, round(share * len(self._candidates)) - 1)


SENTENCES: dict[str, Callable[[float], str]] = {
    "disagreement": lambda value: f"the stages disagree on {100 * value:.1f} % of it",
    "uncertainty": lambda value: f"less sure than of most: {100 * (1 - value):.0f} % on average",
    "inconsistency": lambda value: f"student and teacher differ on {100 * value:.1f} % of it",
}


def _percentiles(values: np.ndarray) -> np.ndarray:
    """Return the share of the others that each value is above, ties in the middle; NaN stays."""
    known = ~np.isnan(values)
    places = np.full(len(values), np.nan)
    count = int(known.sum())
    if count == 0:
        return places
    ordered = np.sort(values[known])
    below = np.searchsorted(ordered, values[known], "left")
    upto = np.searchsorted(ordered, values[known], "right")
    places[known] = (below + upto - 1) / 2 / max(1, count - 1)
    return places


def _directions(
    candidates: Sequence[ImageStatistics], labelled: Sequence[ImageStatistics]
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the features as unit vectors from the middle of all; None where some have none."""
    every = [*candidates, *labelled]
    found = [one.features for one in every if one.features is not None]
    if not every or len(found) < len(every) or len({len(one) for one in found}) != 1:
        return None, np.zeros((0, 0))
    values = np.stack(found).astype(np.float32)
    values -= values.mean(0)
    spread = values.std(0)
    values /= np.where(spread > 0, spread, 1)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    return values[: len(candidates)], values[len(candidates) :]


def _most_similar(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the similarity of each image to the most similar labelled one, at least 0."""
    if not len(theirs):
        return np.zeros(len(mine), np.float32)
    nearest = [np.clip((some @ theirs.T).max(1), 0, 1) for some in np.array_split(mine, 16)]
    return np.concatenate(nearest)


def _some(count: int, seed: int) -> np.ndarray:
    """Return which images stand for all of them."""
    if count <= WITNESSES:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, WITNESSES, replace=False))

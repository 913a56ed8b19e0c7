"""What a run was made from, frozen with its configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RunInputs:
    """What a run was made from; runs of older versions lack what has a default.

    Attributes
    ----------
    images
        Content hash of each image of L and U, by id.
    labels
        Hash of each ground truth, by image id; images of validation are not among them.
    pixels
        Labelled pixels of each class.
    classes
        Names, colours and ids, in order; runs of older versions have no ids.
    based_on
        The run whose first stages were copied.
    baseline_of
        The run that this one is there to be compared with: it learns from that one's labels alone.
    refreshes
        The run whose segmenters the stages started from.
    steps_before
        Optimisation steps behind what the run began with: copied stages, or those of `refreshes`.
    learned_before
        Images whose labels are in the weights that the run began with.
    label_times
        When each ground truth was written, by image id.
    """

    images: dict[str, str]
    labels: dict[str, str]
    pixels: dict[str, int]
    classes: list[dict[str, Any]]
    channels: list[int] | None
    n_channels: int
    normalisation: str
    first_stage: int
    last_stage: int
    seed: int
    device: str
    threads: int
    versions: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    based_on: str | None = None
    baseline_of: str | None = None
    refreshes: str | None = None
    steps_before: int = 0
    learned_before: tuple[str, ...] = ()
    label_times: dict[str, float] = field(default_factory=dict)

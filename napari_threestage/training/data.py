"""The planes of a project as training samples, in memory or, when they are too many, on disk."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_threestage.planes import planes_of
from napari_threestage.runs import indices_between
from napari_threestage.training.batches import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_threestage.project import Project
    from napari_threestage.project_file import ImageRecord
    from napari_threestage.runs import Run

LOADERS = min(8, os.cpu_count() or 1)  # images read at the same time


class SampleSet:
    """The samples of a run in the order of image id and plane.

    Parameters
    ----------
    project
        Where the images come from.
    run
        Says which images and has their ground truth; keeps the cache file when the images do not
        fit `cache_gigabytes`.
    """

    def __init__(self, project: Project, run: Run) -> None:
        self.run = run
        self.samples: list[Sample] = []
        self._records = [project.images[image_id] for image_id in sorted(run.inputs.images)]
        size = sum(
            record.n_planes * int(np.prod(record.label_shape[-2:])) * run.inputs.n_channels
            for record in self._records
        )
        on_disk = size > run.config.data.cache_gigabytes * 1e9
        self._cache = run.path / "cache" if on_disk else None
        with ThreadPoolExecutor(LOADERS) as pool:
            # Each holds one plane that is not kept; the order is that of the records.
            for samples in pool.map(partial(self._load, project), self._records):
                self.samples += samples

    def load_pseudo_masks(self, stage: int) -> None:
        """Give every sample its pseudo-mask of a stage, without pixels of too little confidence."""
        samples = iter(self.samples)
        with ThreadPoolExecutor(LOADERS) as pool:
            masks = pool.map(lambda record: self._pseudo_mask(stage, record.id), self._records)
            for record, mask in zip(self._records, masks, strict=True):
                for plane in _planes(mask, record.n_planes):
                    next(samples).pseudo = _as_target(plane)

    def _pseudo_mask(self, stage: int, image_id: str) -> np.ndarray:
        mask = self.run.read_mask(stage, image_id)
        threshold = self.run.config.loss.pseudo_threshold
        if not threshold:
            return mask
        sure = self.run.read_confidence(stage, image_id) >= round(255 * threshold)
        return np.where(sure, mask, 0).astype(mask.dtype)

    def close(self) -> None:
        """Remove the cache file, if there is one."""
        if self._cache:
            self.samples.clear()
            shutil.rmtree(self._cache, ignore_errors=True)

    def _load(self, project: Project, record: ImageRecord) -> list[Sample]:
        run, inputs = self.run, self.run.inputs
        images = planes_of(
            project.read_image(record.id), inputs.channels, inputs.n_channels, inputs.normalisation
        )
        labelled = record.id in inputs.labels
        truths = _planes(
            frozen_truth(project, run, record.id) if labelled else None, record.n_planes
        )
        return [
            Sample(self._keep(image, f"{record.id}-{number}"), _as_target(truth))
            for number, (image, truth) in enumerate(zip(images, truths, strict=True))
        ]

    def _keep(self, image: np.ndarray, name: str) -> torch.Tensor:
        if self._cache is None:
            return torch.from_numpy(np.ascontiguousarray(image))
        return torch.from_numpy(_on_disk(image, self._cache / f"{name}.npy"))


def frozen_truth(project: Project, run: Run, image_id: str) -> np.ndarray | None:
    """Return the ground truth that a run was made with; older runs take it from the project."""
    truth = run.read_truth(image_id)
    return present_truth(project, run, image_id) if truth is None else truth


def present_truth(project: Project, run: Run, image_id: str) -> np.ndarray | None:
    """Return an image's ground truth as it is now, as indices of the run's classes."""
    truth = project.read_labels(image_id)
    ids = [entry.id for entry in project.classes]
    if truth is None or ids == run.class_ids:
        return truth
    mapped: np.ndarray = indices_between(ids, run.class_ids)[truth]
    return mapped


def _on_disk(image: np.ndarray, path: Path) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Other processes of this run may write the same file.
    own = path.with_name(f".{path.stem}.{os.getpid()}.npy")
    np.save(own, image)
    own.replace(path)
    mapped: np.ndarray = np.load(path, mmap_mode="c")  # torch warns about read-only memory
    return mapped


def _planes(labels: np.ndarray | None, count: int) -> Sequence[np.ndarray | None]:
    if labels is None:
        return [None] * count
    return list(labels.reshape(count, *labels.shape[-2:]))


def _as_target(labels: np.ndarray | None) -> torch.Tensor | None:
    """Turn 0 = not labelled, 1..C into `IGNORE` and 0..C-1; None if nothing is labelled."""
    if labels is None or not labels.any():
        return None
    target = labels.astype(np.uint8) - np.uint8(1)  # 0 wraps to 255
    return torch.from_numpy(target)

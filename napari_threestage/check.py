"""What would go wrong in a run, before it starts, with a fix for each problem."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_threestage.errors import NotReadyError, ThreeStageError
from napari_threestage.labels import is_labelled_in_part
from napari_threestage.lengths import PixelSize, length_text
from napari_threestage.memory_estimate import memory_sentence, memory_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_threestage.config import Config
    from napari_threestage.memory_estimate import FreeMemory, MemoryEstimate
    from napari_threestage.project import Project
    from napari_threestage.project_file import ImageRecord

FEW_PIXELS = 50
MOST_APART = 1.5  # what sides of pixels may differ by


@dataclass(frozen=True)
class Problem:
    """Something a run would suffer from; an ``error`` keeps it from starting.

    Attributes
    ----------
    kind
        ``image``, ``no images``, ``no labels``, ``all labelled``, ``no such label``,
        ``few pixels``, ``small images``, ``pixel sizes`` or ``memory``.
    about
        Name of the class, or id of the image, that it is about.
    """

    level: Literal["error", "warning"]
    message: str
    fix: str
    kind: str = ""
    about: str = ""


@dataclass(frozen=True)
class Plan:
    """What a run would be made of.

    Attributes
    ----------
    labelled, unlabelled, validation
        Ids of the images of L, of U, and of those that only judge.
    pixels
        Labelled pixels of each class in L.
    problems
        What is wrong, errors first.
    memory, free
        What the run needs and what there is; see `with_memory`.
    """

    labelled: list[str]
    unlabelled: list[str]
    validation: list[str]
    pixels: dict[str, int]
    problems: list[Problem]
    memory: MemoryEstimate | None = None
    free: FreeMemory | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON holds it."""
        return asdict(self)

    @property
    def labelled_share(self) -> float:
        """Share of L in L and U; 0 without images."""
        return len(self.labelled) / max(1, len(self.labelled) + len(self.unlabelled))

    @property
    def ready(self) -> bool:
        """Whether a run could start."""
        return all(problem.level != "error" for problem in self.problems)

    @property
    def memory_sentence(self) -> str:
        """What the run needs and what is free, for people; empty if nobody has looked."""
        return memory_sentence(self.memory, self.free) if self.memory and self.free else ""

    def require_ready(self) -> None:
        """Raise `NotReadyError` with the first error, if there is one."""
        for problem in self.problems:
            if problem.level == "error":
                raise NotReadyError(problem.message, problem.fix)

    def with_memory(self, needed: MemoryEstimate, free: FreeMemory, config: Config) -> Plan:
        """Return the plan with the memory it needs, and a warning if that is more than is free."""
        problems = [*self.problems, *_memory_problems(needed, free, config)]
        return replace(self, problems=problems, memory=needed, free=free)


def plan_run(
    project: Project, config: Config, unsaved: Mapping[str, np.ndarray] | None = None
) -> Plan:
    """Look at a project as a run would, without reading any pixel.

    Parameters
    ----------
    unsaved
        Pixels (C + 1,) of images whose ground truth is about to be written, by id.
    """
    labelled, unlabelled, validation = [], [], []
    problems: list[Problem] = []
    total = np.zeros(len(project.classes) + 1, np.int64)
    for record in project.images.values():
        try:
            _check_image(project, record)
            counts = (unsaved or {}).get(record.id)
            counts = project.label_counts(record.id) if counts is None else counts
        except ThreeStageError as error:
            problems.append(Problem("error", error.message, error.hint, "image", record.id))
            continue
        if record.split == "validation":
            validation.append(record.id)
        elif counts[1:].any():
            labelled.append(record.id)
            total += counts
        else:
            unlabelled.append(record.id)
    names = [entry.name for entry in project.classes]
    pixels = dict(zip(names, (int(count) for count in total[1:]), strict=True))
    partly = is_labelled_in_part(int(total[1:].sum()), int(total.sum()))
    problems += _set_problems(project, labelled, unlabelled, partly)
    problems += _class_problems(pixels) if labelled else []
    problems += _size_problems(project, labelled + unlabelled, config)
    problems += _pixel_problems(project, labelled + unlabelled + validation)
    problems.sort(key=lambda problem: problem.level != "error")
    return Plan(sorted(labelled), sorted(unlabelled), sorted(validation), pixels, problems)


def _check_image(project: Project, record: ImageRecord) -> None:
    if not (project.image_path(record.id) / "zarr.json").exists():
        raise NotReadyError(
            f"Image {record.id} is listed, but its folder is gone.",
            "Put the folder back into images/, or import the image again.",
        )
    if not (project.image_path(record.id) / "0").exists():
        where = f"; it refers to {record.linked}" if record.linked else ""
        raise NotReadyError(
            f"The pixels of image {record.id} are gone{where}.",
            "Put them back, or import the image again.",
        )
    wanted, count = project.channels, record.channels
    if count > 1 and (max(wanted) >= count if wanted else count != project.n_channels):
        names = ", ".join(map(str, wanted)) if wanted else f"all {project.n_channels}"
        raise NotReadyError(
            f"Image {record.id} has {count} channels, the project uses {names}.",
            "Choose channels that all images have: threestage import ... --channels 0",
        )


def _set_problems(
    project: Project, labelled: list[str], unlabelled: list[str], partly: bool
) -> list[Problem]:
    """Look at all images; `partly`: many pixels of the labelled ones have no label."""
    if not project.images:
        fix = f"threestage import {project.path} --images FOLDER --masks FOLDER"
        return [Problem("error", "The project has no images.", fix, "no images")]
    if not labelled:
        fix = "Import masks with --masks, or paint some ground truth."
        message = "No image has any ground truth, so there is nothing to learn."
        return [Problem("error", message, fix, "no labels")]
    if not unlabelled and not partly:
        message = "All images are labelled: the later stages have no new images to learn from."
        fix = "Import images without masks; they are what helps."
        return [Problem("warning", message, fix, "all labelled")]
    return []


def _class_problems(pixels: dict[str, int]) -> list[Problem]:
    problems = []
    for name, count in pixels.items():
        if count == 0:
            message = f"Class '{name}' is never labelled, so it can never be predicted."
            fix = "Label some of it, or remove the class."
            problems.append(Problem("error", message, fix, "no such label", name))
        elif count < FEW_PIXELS:
            message = f"Class '{name}' has only {count} labelled pixels."
            problems.append(Problem("warning", message, "Label more of it.", "few pixels", name))
    return problems


def _size_problems(project: Project, ids: list[str], config: Config) -> list[Problem]:
    crop = min(config.data.crop)
    small = [i for i in ids if max(project.images[i].shape[-2:]) < crop / 2]
    if not small:
        return []
    message = f"{len(small)} images, e.g. {small[0]}, are smaller than half a crop ({crop} px)."
    fix = f"Use smaller crops: --set data.crop=[{crop // 2},{crop // 2}]"
    return [Problem("warning", message, fix, "small images", small[0])]


def _pixel_problems(project: Project, ids: list[str]) -> list[Problem]:
    """Look for images in which the same thing has very different sizes."""
    known = [(PixelSize(*pixel).side, i) for i in ids if (pixel := project.images[i].pixel)]
    if not known:
        return []
    (low, fine), (high, coarse) = min(known), max(known)
    if high <= MOST_APART * low:
        return []
    message = (
        f"Pixels of {coarse} are said to be {_times(high / low)} as large as those of {fine} "
        f"({length_text(high)}, {length_text(low)}), so that things look smaller there."
    )
    fix = "If so, resample the images to one size before importing them, or use two projects."
    return [Problem("warning", message, fix, "pixel sizes", coarse)]


def _times(factor: float) -> str:
    return f"{factor:.3g} times" if factor < 1000 else f"{factor:,.0f} times"


def _memory_problems(needed: MemoryEstimate, free: FreeMemory, config: Config) -> list[Problem]:
    """Return a warning for the device or else for main memory, with what would help most."""
    on_gpu = needed.device_kind == "cuda"
    movable = {name for name in needed.parts if name != "process"}
    if free.device is not None and needed.device_bytes > free.device:
        wanted, there = needed.device_bytes, free.device
        where, left = ("of the GPU's memory", "there") if on_gpu else ("of memory", "free")
        movable -= {"images"} if on_gpu else set()
    elif needed.host_bytes > free.host:
        wanted, there, where, left = needed.host_bytes, free.host, "of main memory", "free"
        movable = {"images"}
    else:
        return []
    message = f"The run needs about {memory_text(wanted)} {where}, {memory_text(there)} are {left}."
    largest = max(movable, key=lambda name: needed.parts[name])
    fix = _memory_fix(largest, needed, config)
    if wanted - there > needed.parts[largest]:
        fix = f"Close other programs. {fix}"
    return [Problem("warning", message, fix, "memory")]


def _memory_fix(part: str, needed: MemoryEstimate, config: Config) -> str:
    """Say how to make a part of the memory smaller."""
    if part == "networks":
        return "Use a smaller network, e.g. --set network.backbone=compact"
    if part == "images":
        cache = needed.parts["images"] / 2e9
        return f"Keep more of the images on disk: --set data.cache_gigabytes={cache:.1g}"
    if part == "tiles":
        return f"Use smaller tiles: --set inference.tile={max(64, config.inference.tile // 2)}"
    height, width = (max(32, side // 2) for side in config.data.crop)
    return f"Use smaller crops or batches, e.g. --set data.crop=[{height},{width}]"

"""Starting f from a segmenter of another run, which may know other classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_threestage.errors import NotReadyError
from napari_threestage.inference.segmenter import load_segmenter
from napari_threestage.training.networks import BlockNetwork, build_network

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from napari_threestage.config import NetworkConfig
    from napari_threestage.runs import Run, RunInputs
    from napari_threestage.stages import StageSpec


def build_segmenter(run: Run) -> BlockNetwork:
    """Build f with pre-trained or random weights; the latter where all come from another run.

    Raises
    ------
    ConfigError
        The pre-trained weights cannot be read.
    """
    network, inputs = run.config.network, run.inputs
    if inputs.refreshes is not None:
        network = network.model_copy(update={"weights": "none"})
    return build_network(network, inputs.n_channels, len(inputs.classes))


def load_start(network: BlockNetwork, run: Run, spec: StageSpec) -> None:
    """Give f the weights of the segmenter that a stage starts from, if it starts from one.

    That is the one of the same stage of the run that this one refreshes, or of an earlier stage.

    Raises
    ------
    ImageFileError
        The segmenter cannot be read.
    NotReadyError
        It is another network.
    """
    if run.inputs.refreshes is not None:
        take_over(network, run.config.network, run.inputs, run.start_path(spec.number))
    elif spec.start_from is not None:
        before = load_segmenter(run.model_path(spec.start_from), torch.device("cpu"))
        network.load_state_dict(before.network.state_dict())


def take_over(network: BlockNetwork, config: NetworkConfig, inputs: RunInputs, file: Path) -> None:
    """Give a network the weights of a segmenter; what it knows of a class follows the class's id.

    Classes that the segmenter does not know stay as the network has them.
    """
    before = load_segmenter(file, torch.device("cpu"))
    axes = class_axes(config, inputs.n_channels, len(inputs.classes))
    fresh, old = network.state_dict(), before.network.state_dict()
    if not _fit(fresh, old, axes):
        raise NotReadyError(
            f"{file} is the segmenter of another network, so no stage can start from it.",
            "Start a new run.",
        )
    ids, old_ids = _ids(inputs.classes), _ids(before.info.classes)
    moved = {
        name: _moved(value, old[name], axes[name], ids, old_ids) if name in axes else old[name]
        for name, value in fresh.items()
    }
    network.load_state_dict(moved)


def class_axes(config: NetworkConfig, n_channels: int, n_classes: int) -> dict[str, int]:
    """Return the axis along which the classes are, of each tensor that has such an axis."""
    plain = config.model_copy(update={"weights": "none"})
    with torch.device("meta"):
        states = [
            build_network(plain, n_channels, count).state_dict()
            for count in (n_classes, n_classes + 1)
        ]
    shapes = {name: (value.shape, states[1][name].shape) for name, value in states[0].items()}
    return {
        name: next(axis for axis, size in enumerate(few) if size != more[axis])
        for name, (few, more) in shapes.items()
        if few != more
    }


def _moved(
    fresh: Tensor, old: Tensor, axis: int, ids: Sequence[int], old_ids: Sequence[int]
) -> Tensor:
    """Return a tensor with the old rows of the classes that there were."""
    moved = fresh.clone()
    for place, class_id in enumerate(ids):
        if class_id in old_ids:
            moved.select(axis, place).copy_(old.select(axis, old_ids.index(class_id)))
    return moved


def _fit(fresh: dict[str, Tensor], old: dict[str, Tensor], axes: dict[str, int]) -> bool:
    """Whether both are the same network, numbers of classes apart."""

    def shape(name: str, value: Tensor) -> list[int]:
        return [size for axis, size in enumerate(value.shape) if axis != axes.get(name)]

    same = fresh.keys() == old.keys()
    return same and all(
        shape(name, value) == shape(name, old[name]) for name, value in fresh.items()
    )


def _ids(classes: Sequence[dict[str, object]]) -> list[int]:
    """Return the ids of classes; segmenters of older versions count from 1."""
    return [int(str(entry.get("id", place))) for place, entry in enumerate(classes, 1)]

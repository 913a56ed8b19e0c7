"""A description of a segmenter of three classes that takes one channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_threestage.config import InferenceConfig
from napari_threestage.segmenter_info import SegmenterInfo

if TYPE_CHECKING:
    from napari_threestage.config import NetworkConfig


def describe(config: NetworkConfig) -> SegmenterInfo:
    """Return what goes with the weights of such a network."""
    return SegmenterInfo(
        classes=[{"name": name, "color": [9, 9, 9]} for name in "abc"],
        channels=None,
        n_channels=1,
        normalisation="range",
        network=config.model_dump(mode="json"),
        inference=InferenceConfig().model_dump(mode="json"),
        stage=3,
        run="a-run",
    )

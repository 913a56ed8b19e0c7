"""How much memory a run will need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_threestage.check import plan_run
from napari_threestage.config import Config, load_config
from napari_threestage.memory_estimate import (
    FreeMemory,
    MemoryEstimate,
    estimate_memory,
    free_memory,
    memory_sentence,
    memory_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.project import ImageRecord, Project

    AddImage = Callable[..., ImageRecord]

KNOWN = {
    "network.backbone": "resnet18",
    "network.weights": "none",
    "network.zoom": 1.0,
    "data.crop": [256, 256],
}
GB = 2**30
LABELS = np.repeat(np.array([1, 2], np.uint8), 64 * 32).reshape(64, 64)


@pytest.fixture
def project(small_project: Project, add_image: AddImage) -> Project:
    add_image("a", LABELS)
    add_image("b")
    return small_project


def config(**changes: Any) -> Config:
    return load_config("quick", KNOWN | {key.replace("__", "."): v for key, v in changes.items()})


def needed(
    project: Project, kind: str = "cpu", stages: tuple[int, int] = (1, 3), **changes: Any
) -> MemoryEstimate:
    plan = plan_run(project, config())
    ids = plan.labelled, plan.unlabelled
    return estimate_memory(project, config(**changes), stages, kind, *ids)


def test_the_estimate_of_a_known_run_stays_as_it_is(project: Project) -> None:
    found = needed(project)
    assert found.device_bytes == found.host_bytes == sum(found.parts.values())
    assert found.parts == {
        "process": 950_000_000,
        "networks": 265_663_816,
        "crops": 329_252_864,
        "losses": 111_149_056,
        "images": 36_864,
    }


def test_activations_grow_with_the_crops_and_nothing_else_does(project: Project) -> None:
    one = needed(project).parts
    batches = {"data__labelled_batch": 8, "data__whole_set_batch": 8, "data__stage1_batch": 8}
    for twice in (needed(project, **batches).parts, needed(project, data__crop=[512, 256]).parts):
        assert twice["crops"] == 2 * one["crops"] and twice["losses"] == 2 * one["losses"]
        assert [twice[n] for n in ("process", "networks", "images")] == [
            one[n] for n in ("process", "networks", "images")
        ]


def test_a_zoomed_network_keeps_more_and_its_crops_stay_as_they_are(
    project: Project, add_image: AddImage
) -> None:
    one, twice = (needed(project, network__zoom=zoom).parts for zoom in (1, 2))
    assert twice["crops"] == 4 * one["crops"] and twice["losses"] == one["losses"]
    add_image("c", shape=(1, 3000, 2000))
    small = {"data__crop": [32, 32], "network__backbone": "compact"}
    one, twice = (needed(project, network__zoom=zoom, **small).parts for zoom in (1, 2))
    assert 3 * one["tiles"] < twice["tiles"] < 4 * one["tiles"]  # the rest is that of the image


def test_a_zoomed_crop_is_filled_up_to_the_stride(project: Project) -> None:
    at_64, at_48 = (
        needed(project, network__zoom=1.5, data__crop=[side, side]).parts["crops"]
        for side in (64, 48)
    )
    assert at_48 == pytest.approx(at_64 * (80 / 96) ** 2)  # 72 of 80


def test_the_dearest_stage_counts(project: Project) -> None:
    first, second = (needed(project, stages=(n, n)).host_bytes for n in (1, 2))
    assert first < second  # more crops and ĝ
    assert needed(project).host_bytes == second
    assert needed(project, stages=(3, 3)).host_bytes < second
    alone = needed(project, stages=(2, 2), loss__pseudo=0).parts
    assert alone["crops"] < needed(project).parts["crops"]


@pytest.mark.parametrize(
    "change",
    [
        {"network__backbone": "resnet50"},
        {"network__output_stride": 8},
        {"network__decoder_channels": 128},
    ],
)
def test_a_larger_network_needs_more(project: Project, change: dict[str, Any]) -> None:
    assert needed(project, **change).host_bytes > needed(project).host_bytes


def test_half_precision_halves_the_activations(project: Project) -> None:
    whole, half = needed(project), needed(project, precision="bfloat16")
    assert half.parts["crops"] == pytest.approx(whole.parts["crops"] / 2, rel=0.1)
    assert half.parts["networks"] == whole.parts["networks"]
    assert needed(project, "cuda").parts["crops"] == half.parts["crops"]  # `auto` there
    assert needed(project, "cuda", precision="float32").parts["crops"] == whole.parts["crops"]


def test_a_gpu_has_what_it_computes_and_main_memory_the_images(
    project: Project, add_image: AddImage
) -> None:
    before = needed(project, "cuda")
    add_image("c", shape=(1, 900, 1000))
    after = needed(project, "cuda", inference__tile=256)
    assert after.device_bytes == before.device_bytes
    assert after.host_bytes - before.host_bytes == after.parts["images"] - before.parts["images"]
    assert after.parts["images"] > 2 * 900_000  # with its pseudo-mask


def test_large_images_count_until_they_are_kept_on_disk(
    project: Project, add_image: AddImage
) -> None:
    add_image("c", shape=(1, 1500, 1000))
    inside = needed(project).parts["images"]
    assert inside - needed(project, data__cache_gigabytes=0.001).parts["images"] > 1_500_000
    assert inside - needed(project, stages=(1, 1)).parts["images"] > 1_500_000  # no pseudo-masks


def test_where_tiles_are_much_larger_than_crops_they_decide(
    project: Project, add_image: AddImage
) -> None:
    add_image("c", shape=(1, 3000, 2000))
    small = {"data__crop": [32, 32], "network__backbone": "compact"}
    whole = needed(project, inference__tile=4000, **small)
    assert "tiles" in whole.parts and "crops" not in whole.parts
    tiled = needed(project, inference__tile=1024, **small)
    assert tiled.parts["tiles"] < whole.parts["tiles"] / 3
    assert "for tiles and networks" in memory_sentence(whole, FreeMemory(None, 1))


def test_the_likely_backbone_of_auto_counts(project: Project) -> None:
    likely = needed(project, network__backbone="mobilenet_v2", network__weights="imagenet")
    assert needed(project, network__backbone="auto", network__weights="auto") == likely


def test_people_read_what_is_needed_and_what_is_there() -> None:
    parts = {"process": GB, "networks": GB // 4, "crops": GB // 2, "losses": 0, "images": GB // 4}
    one = MemoryEstimate(2 * GB, 2 * GB, parts)
    assert memory_sentence(one, FreeMemory(18 * GB, 18 * GB)) == (
        "Needs about 2.0 GB of memory (768 MB for crops and networks, 256 MB for images); "
        "18 GB are free."
    )
    two = MemoryEstimate(GB, 3 * GB, parts, "cuda")
    assert memory_sentence(two, FreeMemory(79 * GB, 18 * GB)) == (
        "Needs about 1.0 GB of 79 GB on the GPU and 3.0 GB of 18 GB in main memory."
    )
    assert "1.0 GB on the GPU and" in memory_sentence(two, FreeMemory(None, GB))


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "1 MB"), (GB // 100, "10 MB"), (int(0.94 * GB), "963 MB"), (int(9.96 * GB), "10 GB")],
)
def test_sizes_are_short(count: int, text: str) -> None:
    assert memory_text(count) == text


def test_only_a_gpu_has_memory_of_its_own() -> None:
    assert free_memory("cuda", 5).device == 5
    assert free_memory("cuda").device is None
    for kind in ("cpu", "mps"):
        found = free_memory(kind, 5)
        assert found.device == found.host > 5

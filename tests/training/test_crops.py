"""Crops of a whole batch against one crop at a time, from the host and from the device alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_threestage.config import DataConfig
from napari_threestage.training import crops
from napari_threestage.training.batches import CropSampler, Sample, Windows, step_generator
from napari_threestage.training.crops import DevicePlanes, HostPlanes, choose_planes
from napari_threestage.training.losses import IGNORE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_threestage.training.crops import Batch

CPU = torch.device("cpu")
SIZES = ((60, 75), (33, 41), (20, 90))  # some smaller than a window
SCALES = ((1.0, 1.0), (0.5, 0.9), (1.1, 2.0), (0.5, 1.5))


def planes(channels: int = 3) -> list[Sample]:
    """Smooth noise, one image without labels and one without a pseudo-mask."""
    generator = torch.Generator().manual_seed(4)
    made = []
    for number, size in enumerate(SIZES):
        image = torch.randint(0, 256, (channels, *size), generator=generator, dtype=torch.uint8)
        truth, pseudo = torch.randint(0, 4, (2, *size), generator=generator, dtype=torch.uint8)
        made.append(Sample(image, truth if number else None, pseudo if number != 1 else None))
    return made


def config(scale: tuple[float, float]) -> DataConfig:
    return DataConfig(crop=(32, 40), scale=scale, flip=True, flip_vertical=True)


def square(scale: tuple[float, float]) -> DataConfig:
    changes = {"crop": (32, 32), "transpose": True}
    return DataConfig.model_validate(config(scale).model_dump() | changes)


def drawn(samples: Sequence[Sample], data: DataConfig, count: int = 12) -> Windows:
    sampler = CropSampler(samples, data, 3, labelled=False)
    return sampler.windows(0, count, step_generator(3, 1, 0))


def one_by_one(samples: Sequence[Sample], data: DataConfig, windows: Windows) -> list[Tensor]:
    """Cut, flip and interpolate each window alone, with torch's own interpolation."""
    cut = []
    for index, top, left, height, width, *flips in torch.column_stack(windows.parts()).tolist():
        sample = samples[index]
        unknown = torch.full(sample.image.shape[1:], IGNORE, dtype=torch.uint8)
        maps = torch.stack(
            [
                unknown if sample.truth is None else sample.truth,
                unknown if sample.pseudo is None else sample.pseudo,
                torch.zeros_like(unknown),
            ]
        )
        frame = max(height, width) + 100  # wide enough for every window around every image
        image = F.pad(sample.image, (frame,) * 4)
        maps = F.pad(maps, (frame,) * 4, value=IGNORE)
        part = slice(top + frame, top + frame + height), slice(left + frame, left + frame + width)
        *flips, transposed = flips
        axes = [axis for axis, wanted in zip((-2, -1), flips, strict=True) if wanted]
        image, maps = image[:, *part].flip(axes).float() / 255, maps[:, *part].flip(axes).float()
        image = F.interpolate(
            image[None], data.crop, mode="bilinear", align_corners=False, antialias=True
        )[0]
        maps = F.interpolate(maps[None], data.crop, mode="nearest-exact")[0]
        cut.append((image.mT, *maps.mT) if transposed else (image, *maps))
    images, truth, pseudo, outside = (torch.stack(each) for each in zip(*cut, strict=True))
    return [images, truth.byte(), pseudo.byte(), outside == 0]


def batch_of(source: HostPlanes | DevicePlanes, windows: Windows) -> Batch:
    return source.cut(source.fetch(windows))


@pytest.mark.parametrize("source", [HostPlanes, DevicePlanes])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("recipe", [config, square])
def test_a_batch_is_what_torch_cuts_one_by_one(
    source: type[HostPlanes | DevicePlanes],
    scale: tuple[float, float],
    recipe: Callable[[tuple[float, float]], DataConfig],
) -> None:
    samples, data = planes(), recipe(scale)
    windows = drawn(samples, data)
    images, *maps = batch_of(source(samples, data, CPU), windows).parts()
    expected, *expected_maps = one_by_one(samples, data, windows)
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=0)
    for found, wanted in zip(maps, expected_maps, strict=True):
        assert found.dtype == wanted.dtype
        assert float((found == wanted).float().mean()) > 0.99  # else on an edge
    assert windows.flips.any(0).tolist() == [True, True, data.transpose]
    assert not windows.flips.all(0).any()


@pytest.mark.parametrize("channels", [1, 4])
def test_the_device_gathers_what_the_host_copies(channels: int) -> None:
    samples, data = planes(channels), config((0.6, 1.4))
    windows = drawn(samples, data)
    ours, theirs = (
        batch_of(kind(samples, data, CPU), windows) for kind in (HostPlanes, DevicePlanes)
    )
    for mine, other in zip(ours.parts(), theirs.parts(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=0)


def test_crops_of_the_size_of_their_windows_hold_the_very_pixels() -> None:
    samples = planes()
    data = DataConfig(crop=(20, 20), scale=(1.0, 1.0), flip=False)
    windows = drawn(samples, data, 6)
    batch = batch_of(HostPlanes(samples, data, CPU), windows)
    for place, (index, top, left) in enumerate(torch.stack(windows.parts()[:3], 1).tolist()):
        pixels = samples[index].image[:, top : top + 20, left : left + 20]
        assert torch.equal((batch.images[place] * 255).round().byte(), pixels)


@pytest.mark.parametrize(("share", "kind"), [(0.6, HostPlanes), (0.4, DevicePlanes)])
def test_images_stay_on_the_device_where_they_leave_it_half_of_its_memory(
    share: float, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = planes()
    size = sum(5 * height * width for height, width in SIZES)
    monkeypatch.setattr(crops, "_free", lambda device: size / share)
    made: list[type] = []
    for one in (HostPlanes, DevicePlanes):
        monkeypatch.setattr(crops, one.__name__, lambda *_, one=one: made.append(one))
    choose_planes(samples, config((1.0, 1.0)), torch.device("cuda"))
    assert made == [kind]

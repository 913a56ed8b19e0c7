"""Tiles that pass into each other: what a plane of any size gives, whole, in parts, with gaps."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from napari_threestage.config import InferenceConfig
from napari_threestage.errors import Stopped
from napari_threestage.inference import predict as prediction
from napari_threestage.inference.blending import Band, Wanted
from napari_threestage.inference.grid import spans
from napari_threestage.inference.predict import BandPredictor, BytesPlane

if TYPE_CHECKING:
    from collections.abc import Iterable

Bytes = npt.NDArray[np.uint8]
CPU = torch.device("cpu")
RADIUS = 4  # of the receptive field
TILED = InferenceConfig(tile=64, blend=16, halo=8)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=2, dilation=2),
        nn.ReLU(),
        nn.Conv2d(8, 3, 5, padding=2),
    ).eval()


class Drifting(nn.Module):
    """Says that class 1 is the more likely the further right a pixel lies in what it sees."""

    def forward(self, images: Tensor) -> Tensor:
        count, _, height, width = images.shape
        ramp = torch.linspace(-2, 2, width).expand(count, 1, height, width)
        return torch.cat([torch.zeros_like(ramp), ramp], 1)


def plane(height: int, width: int) -> Bytes:
    return np.random.default_rng(width).integers(1, 256, (2, height, width), np.uint8)


def gather(bands: Iterable[Band]) -> tuple[Bytes, Bytes, Bytes | None]:
    found = [*bands]
    assert all(a.rows.stop == b.rows.start for a, b in itertools.pairwise(found))
    parts = [band.probabilities for band in found if band.probabilities is not None]
    return (
        np.concatenate([band.mask for band in found]),
        np.concatenate([band.confidence for band in found]),
        np.concatenate(parts, axis=1) if parts else None,
    )


@pytest.mark.parametrize("size", [1, 63, 64, 65, 70, 127, 128, 129, 200, 1000])
@pytest.mark.parametrize("blend", [0, 1, 16, 64])
def test_cells_cover_an_axis_once_and_weights_add_up(size: int, blend: int) -> None:
    counted, total = np.zeros(size), np.zeros(size)
    for span in spans(size, 64, blend, 8):
        counted[span.cell] += 1
        total[span.support] += span.weights
        assert span.window.start <= span.support.start <= span.support.stop <= span.window.stop
        assert (span.weights > 0).all()
    assert (counted == 1).all()
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("size", [(64, 200), (130, 70), (150, 201), (65, 64)])
def test_tiles_that_pass_into_each_other_give_what_one_piece_gives(
    size: tuple[int, int], network: nn.Module
) -> None:
    image = BytesPlane(plane(*size))
    tiled = gather(BandPredictor(network, TILED, CPU, Wanted(probabilities=True)).bands(image))
    whole = gather(
        BandPredictor(network, InferenceConfig(), CPU, Wanted(probabilities=True)).bands(image)
    )
    inner = (slice(None, -RADIUS), slice(None, -RADIUS))  # borders are filled up to other sizes
    assert len(np.unique(whole[0])) > 1
    assert (tiled[0] != whole[0])[inner].mean() < 1e-3
    assert tiled[2] is not None
    assert whole[2] is not None
    difference = np.abs(tiled[2].astype(int) - whole[2])[:, *inner]
    assert difference.max() <= 1


def test_where_tiles_differ_one_passes_into_the_other_without_a_step() -> None:
    image = BytesPlane(plane(60, 400))
    found = {
        blend: gather(
            BandPredictor(
                Drifting(),
                InferenceConfig(tile=64, blend=blend, halo=0),
                CPU,
                Wanted(probabilities=True),
            ).bands(image)
        )[2]
        for blend in (0, 32)
    }
    steps = {}
    for blend, values in found.items():
        assert values is not None
        steps[blend] = np.abs(np.diff(values[1].astype(int), axis=1)).max()
    assert steps[0] > 150  # from the right end of a tile to the left end of the next
    assert steps[32] < 20


@pytest.mark.parametrize("first", range(4))
def test_any_bands_of_a_plane_are_those_of_the_whole_plane(first: int, network: nn.Module) -> None:
    image = BytesPlane(plane(230, 150))
    predictor = BandPredictor(network, TILED, CPU, Wanted(probabilities=True))
    whole = [*predictor.bands(image)]
    assert len(whole) == len(predictor.rows_of(230)) == 4
    part = [*predictor.bands(image, range(first, 4))]
    for band, expected in zip(part, whole[first:], strict=True):
        assert band.rows == expected.rows
        for values, others in zip(band[1:], expected[1:], strict=True):
            np.testing.assert_array_equal(values, others)


def test_probabilities_are_those_of_mask_and_confidence(network: nn.Module) -> None:
    predictor = BandPredictor(network, TILED, CPU, Wanted(probabilities=True))
    mask, confidence, probabilities = gather(predictor.bands(BytesPlane(plane(100, 150))))
    assert probabilities is not None
    assert probabilities.shape == (3, 100, 150)
    assert np.abs(probabilities.astype(int).sum(0) - 255).max() <= 2
    np.testing.assert_array_equal(probabilities.max(0), confidence)
    chosen = np.take_along_axis(probabilities, mask[np.newaxis].astype(int) - 1, 0)[0]
    np.testing.assert_array_equal(chosen, confidence)


@pytest.mark.parametrize("empty", [0, 7])
def test_empty_places_are_left_out_and_all_that_holds_something_stays(
    empty: int, network: nn.Module
) -> None:
    pixels = plane(260, 330)
    pixels[pixels == empty] += np.uint8(1)
    pixels[:, :150, 100:] = empty  # over borders of tiles, and whole tiles
    pixels[:, 200:, :140] = empty
    image = BytesPlane(pixels)
    full = gather(BandPredictor(network, TILED, CPU).bands(image))
    found = gather(BandPredictor(network, TILED, CPU, Wanted(empty=empty)).bands(image))
    held = (pixels != empty).any(0)
    for values, others in zip(found[:2], full[:2], strict=True):
        assert np.abs(values.astype(int) - others)[held].max() <= 1
    assert (found[0][held] == full[0][held]).mean() > 0.999
    assert (found[0] == 0).mean() > 0.2
    assert not (found[0] == 0)[held].any()
    assert (found[1][found[0] == 0] == 0).all()


def test_an_image_without_anything_is_left_out_whole(network: nn.Module) -> None:
    image = BytesPlane(np.zeros((2, 100, 90), np.uint8))
    wanted = Wanted(probabilities=True, empty=0)
    mask, confidence, _ = gather(BandPredictor(network, TILED, CPU, wanted).bands(image))
    assert not mask.any()
    assert not confidence.any()


@pytest.mark.parametrize("size", [(40, 50), (100, 90)])
def test_planes_of_a_stack_are_what_each_gives_alone(
    size: tuple[int, int], network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = [BytesPlane(plane(size[0], size[1]) + np.uint8(n)) for n in range(5)]
    alone = [gather(BandPredictor(network, TILED, CPU).bands(one)) for one in stack]
    monkeypatch.setitem(prediction.BATCH_PIXELS, "cpu", 2 * 40 * 50)
    together: dict[int, list[Band]] = {}
    for number, band in BandPredictor(network, TILED, CPU).stack(stack):
        together.setdefault(number, []).append(band)
    assert [*together] == [*range(5)]
    for number, bands in together.items():
        for values, others in zip(gather(bands)[:2], alone[number][:2], strict=True):
            assert np.abs(values.astype(int) - others).max() <= 1


def test_it_ends_between_tiles_when_it_is_told_to(network: nn.Module) -> None:
    calls = 0

    def obey() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Stopped

    predictor = BandPredictor(network, TILED, CPU, obey=obey)
    with pytest.raises(Stopped):
        gather(predictor.bands(BytesPlane(plane(200, 200))))
    assert calls == 3


def test_an_error_while_pixels_are_read_is_the_one_that_is_raised(network: nn.Module) -> None:
    class Damaged(BytesPlane):
        def read(self, rows: slice, columns: slice) -> Bytes:
            if columns.start > 0:
                raise OSError("damaged")
            return super().read(rows, columns)

    with pytest.raises(OSError, match="damaged"):
        gather(BandPredictor(network, TILED, CPU).bands(Damaged(plane(70, 200))))

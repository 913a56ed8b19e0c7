"""``predict``: formats, stacks, large images that are gone on with, a cluster."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_threestage import store, zarr_arrays
from napari_threestage.prediction_store import PartialPrediction
from napari_threestage.project import Project
from napari_threestage.runs import find_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli_helpers import Child, Result

Call = "Callable[..., Result]"
SMALL_TILES = ("--tile", "64", "--halo", "16")


def picture(height: int, width: int) -> np.ndarray:
    """Squares of two colours on a ground, as the segmenter was trained on."""
    rng = np.random.default_rng(height)
    pixels = np.full((height, width, 3), 40, np.uint8)
    for top, left in zip(
        rng.integers(0, height, height // 8), rng.integers(0, width, height // 8), strict=True
    ):
        colour = ((230, 50, 50), (60, 90, 240))[int(rng.integers(2))]
        pixels[top : top + 12, left : left + 12] = colour
    return pixels + rng.integers(0, 12, pixels.shape, np.uint8)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of several tiles."""
    path = tmp_path_factory.mktemp("large") / "slide.tif"
    tifffile.imwrite(path, picture(300, 200), photometric="rgb")
    return path


def zarr_mask(path: Path) -> np.ndarray:
    return np.asarray(store.read_ome_zarr(path).data[...])


def document(result: Result) -> dict[str, Any]:
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads(result.out)
    return found


def test_every_format_holds_the_same_mask(
    threestage: Callable[..., Result], trained: Path, large: Path, tmp_path: Path
) -> None:
    for format_ in ("tiff", "png", "ome-zarr"):
        more = (*SMALL_TILES, "--as", format_, "--json")
        found = document(
            threestage("predict", trained, "--images", large, "--output", tmp_path, *more)
        )
        assert os.path.exists(found["files"][0])
    mask = tifffile.imread(tmp_path / "slide.tif")
    assert len(np.unique(mask)) > 1
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "slide.png")), mask)
    np.testing.assert_array_equal(zarr_mask(tmp_path / "slide.ome.zarr"), mask + 1)


def test_confidence_and_probabilities_go_beside_the_mask(
    threestage: Callable[..., Result], trained: Path, large: Path, tmp_path: Path
) -> None:
    extra = ("--confidence", "--probabilities", "--json", *SMALL_TILES)
    call = ("predict", trained, "--images", large, "--output", tmp_path, *extra)
    files = document(threestage(*call))
    assert [os.path.basename(path) for path in files["confidence"]] == ["slide_confidence.tif"]
    probabilities = tifffile.imread(files["probabilities"][0])
    confidence = tifffile.imread(files["confidence"][0])
    np.testing.assert_array_equal(probabilities.max(0), confidence)
    zarr = document(threestage(*call, "--as", "ome-zarr"))
    np.testing.assert_array_equal(zarr_mask_of(zarr["probabilities"][0]), probabilities)
    np.testing.assert_array_equal(zarr_mask_of(zarr["confidence"][0]), confidence)


def zarr_mask_of(path: str) -> np.ndarray:
    from pathlib import Path

    return zarr_mask(Path(path))


@pytest.mark.parametrize("format_", ["tiff", "ome-zarr"])
def test_each_plane_of_a_stack_is_what_it_is_alone(
    format_: str, threestage: Callable[..., Result], trained: Path, tmp_path: Path
) -> None:
    planes = [picture(70, 90), picture(71, 90)[:70], picture(72, 90)[:70]]
    stack, alone = tmp_path / "stack.tif", tmp_path / "plane.tif"
    tifffile.imwrite(stack, np.stack(planes), photometric="rgb", metadata={"axes": "ZYXS"})
    tifffile.imwrite(alone, planes[2], photometric="rgb")
    call = ("predict", trained, "--images", stack, alone, "--output", tmp_path / "out")
    assert threestage(*call, *SMALL_TILES, "--as", format_).code == 0
    if format_ == "tiff":
        masks = [tifffile.imread(tmp_path / "out" / f"{name}.tif") for name in ("stack", "plane")]
    else:
        masks = [zarr_mask(tmp_path / "out" / f"{name}.ome.zarr") for name in ("stack", "plane")]
    assert masks[0].shape == (3, 70, 90)
    np.testing.assert_array_equal(masks[0][2], masks[1])


def test_what_is_there_of_the_same_is_kept_and_what_has_changed_is_made_anew(
    threestage: Callable[..., Result], trained: Path, large: Path, tmp_path: Path
) -> None:
    image = tmp_path / "slide.tif"
    image.write_bytes(large.read_bytes())
    call = ("predict", trained, "--images", image, "--output", tmp_path / "out")
    call = (*call, "--as", "ome-zarr", "--json", *SMALL_TILES)
    assert document(threestage(*call))["kept"] == []
    assert document(threestage(*call))["kept"] == [str(tmp_path / "out" / "slide.ome.zarr")]
    assert document(threestage(*call, "--stage", "1"))["kept"] == []
    assert document(threestage(*call))["kept"] == []
    tifffile.imwrite(image, picture(310, 200), photometric="rgb")
    assert document(threestage(*call))["kept"] == []
    assert zarr_mask(tmp_path / "out" / "slide.ome.zarr").shape == (310, 200)


def test_statistics_are_the_same_of_every_format_and_of_masks_that_were_kept(
    threestage: Callable[..., Result], trained: Path, large: Path, tmp_path: Path
) -> None:
    call = ("predict", trained, "--images", large, "--statistics", *SMALL_TILES, "--output")
    assert threestage(*call, tmp_path / "tiff").code == 0
    for _ in range(2):  # made, then kept
        assert threestage(*call, tmp_path / "zarr", "--as", "ome-zarr").code == 0
        for name in ("classes.csv", "objects.csv"):
            found = (tmp_path / "zarr" / name).read_text()
            assert found == (tmp_path / "tiff" / name).read_text()
            assert found.count("slide") > 2


def test_a_killed_one_is_gone_on_with(
    threestage: Callable[..., Result],
    start_child: Callable[..., Child],
    trained: Path,
    tmp_path: Path,
) -> None:
    image = tmp_path / "slide.tif"
    tifffile.imwrite(image, picture(64 * 12, 64), photometric="rgb")
    call = ("predict", trained, "--images", image, "--as", "ome-zarr", *SMALL_TILES)
    call = (*call, "--flips", "8", "--device", "cpu", "--output")
    child = start_child(*call, tmp_path / "killed")
    done = tmp_path / "killed" / ".slide.ome.zarr.partial" / "done"
    while not (done.is_dir() and len(list(done.iterdir())) > 2):
        assert child.process.poll() is None, child.process.communicate()
        time.sleep(0.005)
    child.process.send_signal(signal.SIGKILL)
    child.process.wait()
    assert [path.name for path in (tmp_path / "killed").iterdir()] == [".slide.ome.zarr.partial"]
    before = {path: path.stat().st_mtime_ns for path in done.iterdir()}
    assert 2 < len(before) < 12
    result = threestage(*call, tmp_path / "killed", "--progress")
    assert result.code == 0
    lines = [json.loads(line) for line in result.err.splitlines() if line.startswith("{")]
    assert lines[-1] == {"step": "predicting", "done": 100, "total": 100}
    assert lines[1]["done"] >= round(100 * 2 / 12)  # what was done before counts at once
    assert threestage(*call, tmp_path / "once").code == 0
    found = zarr_mask(tmp_path / "killed" / "slide.ome.zarr")
    np.testing.assert_array_equal(found, zarr_mask(tmp_path / "once" / "slide.ome.zarr"))
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["slide.ome.zarr"]


def test_empty_places_are_left_out(
    threestage: Callable[..., Result], trained: Path, tmp_path: Path
) -> None:
    pixels = picture(200, 200)
    pixels[:, 128:] = 0
    image = tmp_path / "half.tif"
    tifffile.imwrite(image, pixels, photometric="rgb")
    call = ("predict", trained, "--images", image, "--output", tmp_path / "out", *SMALL_TILES)
    assert threestage(*call, "--skip-empty").code == 0
    mask = tifffile.imread(tmp_path / "out" / "half.tif")
    assert (mask[:, 128:] == 255).all()
    assert (mask[:, :128] != 255).all()


@pytest.mark.parametrize("format_", ["tiff", "ome-zarr"])
def test_images_that_are_damaged_are_named_and_the_others_go_on(
    format_: str, threestage: Callable[..., Result], trained: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    tifffile.imwrite(images / "good.tif", picture(70, 90), photometric="rgb")
    two = picture(70, 90).transpose(2, 0, 1)[:2]
    tifffile.imwrite(images / "two.tif", two, metadata={"axes": "CYX"})
    (images / "broken.tif").write_bytes(b"II*\0nothing")
    path = images / "holes.ome.zarr"
    pixels = store.ImageArray(picture(150, 90).transpose(2, 0, 1), "cyx")
    store.write_image(path, pixels, {})
    for chunk in (path / "0" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"nonsense")
    call = ("predict", trained, "--images", images, "--output", tmp_path / "out", "--json")
    result = threestage(*call, *SMALL_TILES, "--as", format_)
    assert result.code == 1
    found = json.loads(result.out)
    assert {name for name, _ in found["failed"]} == {"two.tif", "broken.tif", "holes.ome.zarr"}
    assert [os.path.basename(one).split(".")[0] for one in found["files"]] == ["good"]


def test_results_have_names_that_no_other_result_has(
    threestage: Callable[..., Result], trained: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.tif", "a_confidence.tif", "a.png"):
        Image.fromarray(picture(40, 48)).save(images / name)
    call = ("predict", trained, "--images", images, "--output", tmp_path / "out", "--confidence")
    found = document(threestage(*call, "--json"))
    names = [os.path.basename(path) for path in (*found["files"], *found["confidence"])]
    assert len(set(names)) == len(names) == 6


@pytest.mark.parametrize("kind", ["confidence", "probabilities"])
def test_a_file_that_we_did_not_write_stays(
    kind: str, threestage: Callable[..., Result], trained: Path, large: Path, tmp_path: Path
) -> None:
    mine = tmp_path / f"slide_{kind}.tif"
    mine.write_text("mine")
    call = ("predict", trained, "--images", large, "--output", tmp_path, *SMALL_TILES)
    result = threestage(*call, f"--{kind}")
    assert result.code == 1
    assert f"slide_{kind}.tif is there already" in result.sentence
    assert mine.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [mine.name]


def test_a_foreign_file_is_found_before_anything_is_predicted(
    threestage: Callable[..., Result], trained: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a", "b"):
        tifffile.imwrite(images / f"{name}.tif", picture(70, 90), photometric="rgb")
    (tmp_path / "b.tif").write_text("mine")
    result = threestage("predict", trained, "--images", images, "--output", tmp_path)
    assert result.code == 1
    assert not (tmp_path / "a.tif").exists()
    for ending in (".ome.zarr", ".geojson"):
        foreign = tmp_path / f"b{ending}"
        foreign.write_text("{}")
        format_ = ending.removeprefix(".").replace(".", "-")
        call = ("predict", trained, "--images", images, "--output", tmp_path, "--as", format_)
        assert "is there already" in threestage(*call).sentence
        assert foreign.read_text() == "{}"


def test_names_that_are_no_file_names_everywhere_are_mended(
    threestage: Callable[..., Result], trained: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    tifffile.imwrite(images / "b\\c.tif", picture(40, 48), photometric="rgb")
    found = document(
        threestage("predict", trained, "--images", images, "--output", tmp_path, "--json")
    )
    assert [os.path.basename(path) for path in found["files"]] == ["b_c.tif"]


def test_an_ome_zarr_image_whose_pixels_have_changed_is_predicted_anew(
    threestage: Callable[..., Result], trained: Path, tmp_path: Path
) -> None:
    path = tmp_path / "slide.ome.zarr"
    pixels = store.ImageArray(picture(150, 90).transpose(2, 0, 1), "cyx")
    store.write_image(path, pixels, {})
    call = ("predict", trained, "--images", path, "--output", tmp_path / "out", "--json")
    call = (*call, "--as", "ome-zarr", *SMALL_TILES)
    document(threestage(*call))
    assert len(document(threestage(*call))["kept"]) == 1
    zarr_arrays.open_array(path / "0")[...] = 0
    assert document(threestage(*call))["kept"] == []


def test_what_is_wanted_besides_is_part_of_what_is_gone_on_with(
    threestage: Callable[..., Result], trained: Path, large: Path, tmp_path: Path
) -> None:
    call = ("predict", trained, "--images", large, "--output", tmp_path, "--as", "ome-zarr")
    call = (*call, *SMALL_TILES, "--json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartialPrediction, "finish", stop)  # all bands are there by then
        assert threestage(*call).code == 3
    found = document(threestage(*call, "--confidence"))
    assert all(os.path.isdir(path) for path in (*found["files"], *found["confidence"]))
    mask = zarr_mask_of(found["files"][0])
    assert mask.min() >= 1
    assert zarr_mask_of(found["confidence"][0]).min() > 0


def stop(partial: PartialPrediction) -> None:
    raise KeyboardInterrupt


def test_two_commands_do_not_write_one_result(
    threestage: Callable[..., Result],
    start_child: Callable[..., Child],
    trained: Path,
    tmp_path: Path,
) -> None:
    image = tmp_path / "slide.tif"
    tifffile.imwrite(image, picture(64 * 8, 64), photometric="rgb")
    call = ("predict", trained, "--images", image, "--as", "ome-zarr", *SMALL_TILES)
    call = (*call, "--device", "cpu", "--output", tmp_path / "out")
    child = start_child(*call, "--flips", "8")
    done = tmp_path / "out" / ".slide.ome.zarr.partial" / "done"
    while not (done.is_dir() and any(done.iterdir())):
        assert child.process.poll() is None, child.process.communicate()
        time.sleep(0.005)
    child.process.send_signal(signal.SIGSTOP)  # or it might be ready too soon
    result = threestage(*call)
    child.process.send_signal(signal.SIGCONT)
    assert result.code == 1
    assert f"is being predicted (process {child.process.pid} on" in result.sentence
    assert child.process.wait(300) == 0
    assert zarr_mask(tmp_path / "out" / "slide.ome.zarr").all()


def test_what_is_left_of_an_earlier_prediction_is_told(
    threestage: Callable[..., Result], trained: Path, large: Path, tmp_path: Path
) -> None:
    call = ("predict", trained, "--images", large, "--output", tmp_path, *SMALL_TILES, "--json")
    assert document(threestage(*call, "--confidence", "--statistics"))["stale"] == []
    left = document(threestage(*call, "--stage", "1"))["stale"]
    assert [os.path.basename(path) for path in left] == [
        "slide_confidence.tif",
        "classes.csv",
        "objects.csv",
    ]


def test_options_of_a_project_are_not_taken_for_a_file(
    threestage: Callable[..., Result], trained: Path, large: Path, tmp_path: Path
) -> None:
    model = find_run(Project(trained)).model_path(3)
    call = ("predict", model, "--images", large, "--output", tmp_path, "--stage", "1")
    assert "--run and --stage are for projects" in threestage(*call).sentence


@pytest.mark.parametrize("command", ["predict", "export-masks"])
def test_nothing_is_written_among_the_data_of_a_project(
    command: str, threestage: Callable[..., Result], finished: Path, large: Path
) -> None:
    before = sorted(finished.rglob("*"))
    more = ["--images", large] if command == "predict" else []
    for place in (finished, finished / "images", finished / "runs" / "masks"):
        result = threestage(command, finished, *more, "--output", place)
        assert "keeps its own data" in result.sentence
    assert sorted(finished.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--workers", "-1"], "-1 processes make no sense"),
        (["--skip-empty", "nan"], "No pixel has the value nan"),
        (["--channels", "0,1"], r"The channels [0, 1] cannot be taken. Name 3"),
        (["--tile", "0"], "'tile' cannot be 0"),
    ],
)
def test_options_that_make_no_sense(
    options: list[str],
    sentence: str,
    threestage: Callable[..., Result],
    trained: Path,
    large: Path,
    tmp_path: Path,
) -> None:
    call = ("predict", trained, "--images", large, "--output", tmp_path / "out", *options)
    result = threestage(*call)
    assert result.code == 1
    assert sentence in result.sentence
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_told(
    threestage: Callable[..., Result], trained: Path, large: Path
) -> None:
    result = threestage("predict", trained, "--images", large, "--output", large)
    assert "is no folder" in result.sentence


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format_", ["tiff", "ome-zarr"])
def test_a_cluster_gives_the_same(
    format_: str,
    threestage: Callable[..., Result],
    scheduler: str,
    trained: Path,
    large: Path,
    tmp_path: Path,
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "slide.tif").write_bytes(large.read_bytes())
    tifffile.imwrite(images / "other.tif", picture(700, 70), photometric="rgb")
    (images / "broken.tif").write_bytes(b"II*\0nothing")
    (images / "link.tif").symlink_to(images / "slide.tif")
    call = ("predict", trained, "--images", images, *SMALL_TILES, "--as", format_)
    alone = threestage(*call, "--output", tmp_path / "alone", "--json")
    shared = threestage(*call, "--output", tmp_path / "shared", "--scheduler", scheduler, "--json")
    assert (alone.code, shared.code) == (1, 1)
    assert json.loads(shared.out)["failed"] == json.loads(alone.out)["failed"]
    names = sorted(path.name for path in (tmp_path / "alone").iterdir())
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == names
    assert len(names) == 3
    for name in names:
        read = tifffile.imread if format_ == "tiff" else zarr_mask
        np.testing.assert_array_equal(
            read(tmp_path / "shared" / name), read(tmp_path / "alone" / name)
        )


@pytest.mark.slow
def test_processes_of_this_machine_give_the_same(
    threestage: Callable[..., Result], trained: Path, large: Path, tmp_path: Path
) -> None:
    model = find_run(Project(trained)).model_path(3)
    call = ("predict", model, "--images", large, *SMALL_TILES, "--as", "ome-zarr", "--output")
    assert threestage(*call, tmp_path / "alone").code == 0
    assert threestage(*call, tmp_path / "shared", "--workers", "2").code == 0
    found, expected = (zarr_mask(tmp_path / one / "slide.ome.zarr") for one in ("shared", "alone"))
    np.testing.assert_array_equal(found, expected)


def test_a_cluster_that_is_not_there_is_told(
    threestage: Callable[..., Result], trained: Path, large: Path, tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    call = ("predict", trained, "--images", large, "--output", tmp_path)
    result = threestage(*call, "--scheduler", "nonsense")
    assert result.code == 1
    assert "no Dask scheduler at nonsense" in result.sentence


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_without_workers_is_told(
    threestage: Callable[..., Result],
    trained: Path,
    large: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("napari_threestage.inference.cluster.WAIT_SECONDS", 0.2)
    alone = {"cls": distributed.Scheduler, "options": {"dashboard": False, "host": "127.0.0.1"}}
    with distributed.SpecCluster(scheduler=alone, workers={}) as cluster:
        call = ("predict", trained, "--images", large, "--output", tmp_path)
        result = threestage(*call, "--scheduler", cluster.scheduler_address)
    assert result.code == 1
    assert "has no workers" in result.sentence


@pytest.mark.filterwarnings("ignore")
def test_workers_do_not_go_on_with_another_segmenter_of_the_same_name(
    threestage: Callable[..., Result], scheduler: str, trained: Path, large: Path, tmp_path: Path
) -> None:
    run, model = find_run(Project(trained)), tmp_path / "cells.safetensors"
    for stage in (1, 3):
        model.write_bytes(run.model_path(stage).read_bytes())
        call = ("predict", model, "--images", large, *SMALL_TILES, "--confidence", "--output")
        assert threestage(*call, tmp_path / f"shared-{stage}", "--scheduler", scheduler).code == 0
        assert threestage(*call, tmp_path / f"alone-{stage}").code == 0
        found, expected = (
            tifffile.imread(tmp_path / f"{kind}-{stage}" / "slide_confidence.tif")
            for kind in ("shared", "alone")
        )
        np.testing.assert_array_equal(found, expected)

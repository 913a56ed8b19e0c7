"""OME-Zarr on disk: valid for others, whole or absent, whatever kills the writer."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from napari_threestage import files, ome_metadata, store
from napari_threestage.errors import ImageFileError, ProjectError
from napari_threestage.project_file import default_classes
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = default_classes(["background", "nucleus"])
SHAPES = {
    "cyx": (1, 20, 30),
    "czyx": (2, 3, 20, 30),
    "tcyx": (3, 1, 20, 30),
    "tczyx": (2, 3, 2, 20, 30),
}


def noise(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def write(path: Path, axes: str = "cyx", shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Write an image with two label sets; give the labels."""
    pixels = noise(shape or SHAPES[axes])
    scale = {"z": 2.0, "y": 0.5, "x": 0.25}
    unit = dict.fromkeys("zyx", "micrometer")
    known = {axis: size for axis, size in scale.items() if axis in axes}
    image = ImageArray(pixels, axes, known, {a: u for a, u in unit.items() if a in axes})
    store.write_image(path, image, {"name": "a"})
    labels = (pixels.take(0, axes.index("c")) % 3).astype(np.uint8)
    for name in ("ground_truth", "stage-1"):
        store.publish_labels(path, name, labels, CLASSES, {"source": "painted"})
    return labels


def constant(value: int) -> np.ndarray:
    return np.full((20, 30), value, np.uint8)


def publish(path: Path, labels: np.ndarray, name: str = "ground_truth") -> None:
    store.publish_labels(path, name, labels, CLASSES, {})


# --- valid for others -------------------------------------------------------------------------


@pytest.mark.parametrize("axes", SHAPES)
def test_an_image_with_labels_is_valid_ome_zarr(tmp_path: Path, axes: str) -> None:
    from ome_zarr_models import open_ome_zarr

    path = tmp_path / "a.ome.zarr"
    write(path, axes)
    for place in (path, path / "labels", path / "labels" / "ground_truth"):
        store.validate(place)
    image = open_ome_zarr(zarr.open_group(path, mode="r"))
    assert [axis.name for axis in image.attributes.ome.multiscales[0].axes] == list(axes)
    assert sorted(image.labels.attributes.ome.labels) == ["ground_truth", "stage-1"]
    for name in ("ground_truth", "stage-1"):
        labels = open_ome_zarr(zarr.open_group(path / "labels" / name, mode="r"))
        meaning = labels.attributes.ome.image_label
        assert [entry.label_value for entry in meaning.properties] == [0, 1, 2]
        assert [tuple(entry.rgba[:3]) for entry in meaning.colors[1:]] == [
            entry.color for entry in CLASSES
        ]


@pytest.mark.parametrize("side", [2049, 4100])
def test_large_images_and_labels_get_coarser_levels_that_are_valid(
    tmp_path: Path, side: int
) -> None:
    from ome_zarr_models import open_ome_zarr

    path = tmp_path / "a.ome.zarr"
    labels = write(path, "cyx", (1, 6, side))
    for place in (path, path / "labels" / "ground_truth"):
        store.validate(place)
        open_ome_zarr(zarr.open_group(place, mode="r"))
    levels = zarr.open_group(path, mode="r")
    sides = [levels[key].shape[-1] for key in sorted(levels.array_keys())]
    assert sides[0] == side and sides[-1] <= ome_metadata.PYRAMID_ABOVE < sides[-2]
    coarse = zarr.open_group(path / "labels" / "ground_truth", mode="r")
    paths = [d["path"] for d in coarse.attrs["ome"]["multiscales"][0]["datasets"]]
    assert [coarse[p].shape[-1] for p in paths] == sides
    np.testing.assert_array_equal(coarse[paths[1]][...], labels[:6:2, : 2 * sides[1] : 2])


def test_coarser_levels_are_means_of_four_pixels(tmp_path: Path) -> None:
    pixels = np.tile(np.array([[0, 100], [40, 60]], np.uint8), (1, 1, 1025))
    store.write_image(tmp_path / "a.ome.zarr", ImageArray(pixels, "cyx"), {})
    coarse = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")["1"]
    assert coarse.shape == (1, 1, 1025)
    np.testing.assert_array_equal(coarse[...], 50)


@pytest.mark.parametrize("axes", ["cyx", "czyx"])
def test_napari_ome_zarr_shows_the_image_with_its_label_sets(tmp_path: Path, axes: str) -> None:
    from napari_ome_zarr import napari_get_reader

    path = tmp_path / "a.ome.zarr"
    labels = write(path, axes)
    reader = napari_get_reader(str(path))
    assert reader is not None
    layers = reader(str(path))
    assert [kind for _, _, kind in layers].count("image") == 1
    shown = {
        name: (data, options)
        for data, options, kind in layers
        if kind == "labels"
        for name in ("ground_truth", "stage-1")
        if name in options["name"]
    }
    assert set(shown) == {"ground_truth", "stage-1"}
    data, options = shown["ground_truth"]
    data = data[0] if isinstance(data, list) else data
    np.testing.assert_array_equal(np.asarray(data).squeeze(), labels)
    assert options["properties"]["class"] == ["not labelled", "background", "nucleus"]
    colours = [tuple(np.round(255 * np.asarray(options["colormap"][k]))[:3]) for k in (1, 2)]
    assert colours == [entry.color for entry in CLASSES]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_an_image_comes_back_with_its_values_pixel_size_and_units(
    tmp_path: Path, dtype: str
) -> None:
    path = tmp_path / "a.ome.zarr"
    pixels = noise((2, 5, 6, 7), dtype)
    image = ImageArray(pixels, "czyx", {"z": 2.0, "y": 0.5, "x": 0.25}, {"z": "micrometer"})
    store.write_image(path, image, {"sha256": "1"})
    found = store.read_ome_zarr(path)
    np.testing.assert_array_equal(found.data[...], pixels)
    assert found.data.dtype == pixels.dtype and found.axes == "czyx"
    assert found.scale == {"c": 1.0, "z": 2.0, "y": 0.5, "x": 0.25}
    assert found.unit == {"z": "micrometer"}
    assert store.read_attributes(path) == {"sha256": "1"}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_images_of_other_programs_are_read(tmp_path: Path, version: str) -> None:
    path, pixels = tmp_path / "a.zarr", noise((4, 5))
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("s0", data=pixels)
    multiscale: dict[str, Any] = {
        "axes": [
            {"name": "y", "type": "space", "unit": "micrometer"},
            {"name": "x", "type": "space"},
        ],
        "datasets": [
            {"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.25]}]}
        ],
    }
    omero = {"channels": [{"label": "DAPI"}]}
    if version == "0.4":
        group.attrs.update({"multiscales": [{"version": version, **multiscale}], "omero": omero})
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [multiscale], "omero": omero}
    image = store.read_ome_zarr(path)
    np.testing.assert_array_equal(image.data[...], pixels)
    assert (image.axes, image.scale) == ("yx", {"y": 0.5, "x": 0.25})
    assert (image.unit, image.channel_names) == ({"y": "micrometer"}, ("DAPI",))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float32"])
@pytest.mark.parametrize("names", [("DAPI",), ("DAPI", "GFP"), ("c",) * 8])
def test_names_of_channels_are_valid_and_come_back(
    tmp_path: Path, names: tuple[str, ...], dtype: str
) -> None:
    from ome_zarr_models import open_ome_zarr
    from ome_zarr_models.common.omero import Omero

    path = tmp_path / "a.ome.zarr"
    pixels = noise((2, len(names), 6, 7), "uint8").astype(dtype)
    store.write_image(path, ImageArray(pixels, "tcyx", channel_names=names), {})
    store.validate(path)
    group = zarr.open_group(path, mode="r")
    open_ome_zarr(group)  # which leaves this part unchecked
    channels = Omero.model_validate(group.attrs["ome"]["omero"]).channels
    assert len({channel.color for channel in channels}) == min(len(names), 6)
    assert all(channel.window.start < channel.window.end for channel in channels)
    assert store.read_ome_zarr(path).channel_names == names


def test_napari_ome_zarr_shows_channels_under_their_names(tmp_path: Path) -> None:
    from napari_ome_zarr import napari_get_reader

    path = tmp_path / "a.ome.zarr"
    pixels = np.stack([np.full((8, 9), 300, np.uint16), np.arange(72).reshape(8, 9)])
    image = ImageArray(pixels.astype(np.uint16), "cyx", channel_names=("DAPI", "GFP"))
    store.write_image(path, image, {})
    reader = napari_get_reader(str(path))
    assert reader is not None
    ((_, options, kind),) = reader(str(path))
    assert kind == "image" and options["channel_axis"] == 0
    assert [name.split()[-1] for name in options["name"]] == ["DAPI", "GFP"]
    assert [list(limits) for limits in options["contrast_limits"]] == [[300, 301], [0, 71]]


@pytest.mark.parametrize("values", [np.nan, np.inf])
def test_a_channel_without_finite_values_has_a_range_that_is_json(
    tmp_path: Path, values: float
) -> None:
    path = tmp_path / "a.ome.zarr"
    image = ImageArray(np.full((1, 4, 5), values, np.float32), "cyx", channel_names=("a",))
    store.write_image(path, image, {})
    store.validate(path)
    assert not re.search("NaN|Infinity", (path / "zarr.json").read_text())


def test_names_that_do_not_fit_the_channels_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    store.write_image(path, ImageArray(noise((2, 4, 5)), "cyx", channel_names=("a",)), {})
    assert store.read_ome_zarr(path).channel_names == ()
    store.validate(path)


def test_label_sets_of_two_processes_are_both_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.ome.zarr"
    store.write_image(path, ImageArray(noise((1, 20, 30)), "cyx"), {})
    write_group, others = store._write_group, ["second", "third"]

    def write_late(place: Path, ome: Any, attributes: Any) -> None:
        if place.name == "labels" and others:  # another is published and listed just before
            publish(path, constant(2), others.pop())
        write_group(place, ome, attributes)

    monkeypatch.setattr(store, "_write_group", write_late)
    publish(path, constant(1), "first")
    listed = zarr.open_group(path / "labels", mode="r").attrs["ome"]["labels"]
    assert listed == ["first", "second", "third"]
    store.validate(path / "labels")


# --- damaged ----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, "", "{", "{}", '{"zarr_format": 3}', "[1]"])
def test_a_damaged_image_is_refused_with_a_sentence(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "a.ome.zarr"
    write(path)
    if content is None:
        (path / "zarr.json").unlink()
    else:
        (path / "zarr.json").write_text(content)
    with pytest.raises(ImageFileError, match=r"a\.ome\.zarr cannot be opened .* convert it"):
        store.read_ome_zarr(path)


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_damaged_metadata_of_labels_is_no_missing_label_set(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.ome.zarr"
    write(path)
    group = path / "labels" / "ground_truth"
    (group / "zarr.json").write_text(content)
    for call in (
        lambda: store.read_labels(path, "ground_truth"),
        lambda: store.read_attributes(group),
        lambda: publish(path, constant(1)),  # which would remove what can be saved by hand
    ):
        with pytest.raises(ProjectError, match="damaged"):
            call()
    assert (group / "0001-0" / "zarr.json").exists()


@pytest.mark.parametrize("part", ["zarr.json", "c/0/0"])
def test_damaged_pixels_of_labels_are_a_sentence(tmp_path: Path, part: str) -> None:
    path = tmp_path / "a.ome.zarr"
    write(path)
    (path / "labels" / "ground_truth" / "0001-0" / part).write_bytes(b"\0\1garbage")
    with pytest.raises(ProjectError, match=r"label set ground_truth of a\.ome\.zarr is damaged"):
        store.read_labels(path, "ground_truth")


def test_a_damaged_map_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="missing or damaged"):
        store.read_map(tmp_path / "nothing")


# --- whole or absent --------------------------------------------------------------------------


def test_a_label_set_is_replaced_as_a_whole_and_old_revisions_go(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    write(path)
    for value in (1, 2, 1, 2):
        publish(path, constant(value))
    np.testing.assert_array_equal(store.read_labels(path, "ground_truth"), 2)
    folders = [entry.name for entry in (path / "labels" / "ground_truth").iterdir()]
    assert sorted(folders) == ["0004-0", "0005-0", "zarr.json"]  # readers may hold the fourth
    assert store.read_labels(path, "stage-2") is None


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_write_group", fail)
    with pytest.raises(OSError, match="No space"):
        store.write_image(tmp_path / "a.ome.zarr", ImageArray(noise((1, 4, 5)), "cyx"), {})
    monkeypatch.setattr(files.json, "dump", fail)
    with pytest.raises(OSError, match="No space"):
        store.write_json(tmp_path / "project.json", {})
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from napari_threestage import store
from napari_threestage.project import default_classes

kind, moment, path = sys.argv[1], sys.argv[2], Path(sys.argv[3])
store.CHUNK = 8
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
if moment == "chunks":
    import zarr
    set_all, zarr.Array.__setitem__ = zarr.Array.__setitem__, None
    def set_some(self, selection, value):
        set_all(self, (..., slice(0, 8), slice(0, 8)), value[..., :8, :8])
        die()
    zarr.Array.__setitem__ = set_some
elif moment == "metadata":
    store._write_group = lambda *arguments: die()
else:
    Path.replace = lambda self, target: die()
if kind == "labels":
    classes = default_classes(["background", "nucleus"])
    store.publish_labels(path, "ground_truth", np.full((20, 30), 2, np.uint8), classes, {})
else:
    store.write_image(path, store.ImageArray(np.ones((1, 20, 30), np.uint8), "cyx"), {})
raise SystemExit("was not killed")
"""


def killed_writer(kind: str, moment: str, path: Path) -> None:
    arguments = [sys.executable, "-c", KILLED, kind, moment, str(path)]
    child = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("moment", ["chunks", "metadata", "swap"])
def test_a_killed_writer_leaves_the_old_labels_and_the_next_one_cleans_up(
    tmp_path: Path, moment: str
) -> None:
    path = tmp_path / "a.ome.zarr"
    write(path)
    publish(path, constant(1))
    killed_writer("labels", moment, path)
    group = path / "labels" / "ground_truth"
    assert (group / "0003-0").is_dir()  # what the killed one left
    np.testing.assert_array_equal(store.read_labels(path, "ground_truth"), 1)
    store.validate(group)
    publish(path, constant(2))
    np.testing.assert_array_equal(store.read_labels(path, "ground_truth"), 2)
    assert sorted(entry.name for entry in group.iterdir()) == ["0002-0", "0003-0", "zarr.json"]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("moment", ["chunks", "metadata", "swap"])
def test_a_killed_writer_leaves_nothing_that_looks_like_an_image(
    tmp_path: Path, moment: str
) -> None:
    path = tmp_path / "a.ome.zarr"
    killed_writer("image", moment, path)
    assert not path.exists() and list(tmp_path.glob("[!.]*")) == []
    assert store.read_attributes(path) is None
    write(path)
    store.validate(path)


def publish_alternating(path: Path, started: threading.Event, stop: threading.Event) -> None:
    for number in itertools.count():
        store.publish_labels(path, "ground_truth", constant(1 + number % 2), CLASSES, {})
        started.set()
        if stop.is_set():
            return


def test_a_reader_never_sees_a_mixture_while_a_writer_publishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CHUNK", 8)  # many chunks, so that a mixture is possible
    path = tmp_path / "a.ome.zarr"
    write(path)
    publish(path, constant(1))
    started, stop = threading.Event(), threading.Event()
    writer = threading.Thread(target=publish_alternating, args=(path, started, stop))
    writer.start()
    try:
        assert started.wait(60)
        seen = [np.unique(store.read_labels(path, "ground_truth")).tolist() for _ in range(60)]
    finally:
        stop.set()
        writer.join()
    assert {tuple(values) for values in seen} == {(1,), (2,)}


def test_a_reader_whose_revision_is_removed_meanwhile_takes_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.ome.zarr"
    write(path)
    publish(path, constant(1))
    read_map, turns = store.read_map, [1, 2]

    def read_slowly(place: Path) -> np.ndarray:
        if turns:  # two publications fall between the opening and the chunks
            publish(path, constant(turns.pop()))
            publish(path, constant(turns.pop()))
            return constant(0)
        return read_map(place)

    monkeypatch.setattr(store, "read_map", read_slowly)
    np.testing.assert_array_equal(store.read_labels(path, "ground_truth"), 1)


def test_a_map_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for value in (1, 2):
        store.write_map(tmp_path / "map", constant(value), "yx")
        np.testing.assert_array_equal(store.read_map(tmp_path / "map"), value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["map"]


KILLED_MAP = """
import os, signal, sys
from pathlib import Path
import numpy as np
from napari_threestage import store

moment, path, calls = sys.argv[1], Path(sys.argv[2]), []
def die_at(name, function):
    def call(*arguments, **options):
        calls.append(name)
        if moment == f"{name} {calls.count(name)}":
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call
Path.rename = die_at("rename", Path.rename)
store.shutil.rmtree = die_at("rmtree", store.shutil.rmtree)
store._write_array = die_at("write", store._write_array)
store.write_map(path, np.full((20, 30), 2, np.uint8), "yx")
raise SystemExit("was not killed")
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize(
    ("moment", "value"),
    [("write 1", 1), ("rmtree 1", 1), ("rename 1", 1), ("rename 2", 1), ("rmtree 2", 2)],
)
def test_a_killed_writer_of_a_map_leaves_the_old_or_the_new_one(
    tmp_path: Path, moment: str, value: int
) -> None:
    path = tmp_path / "map"
    store.write_map(path, constant(1), "yx")
    arguments = [sys.executable, "-c", KILLED_MAP, moment, str(path)]
    child = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert store.has_map(path)
    np.testing.assert_array_equal(store.read_map(path), value)
    store.write_map(path, constant(3), "yx")
    np.testing.assert_array_equal(store.read_map(path), 3)
    files.remove_temporaries(tmp_path, "map")
    assert [entry.name for entry in tmp_path.iterdir()] == ["map"]


def test_a_reader_never_misses_a_map_nor_sees_a_mixture_while_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CHUNK", 8)
    path, stop = tmp_path / "map", threading.Event()
    store.write_map(path, constant(1), "yx")

    def replace() -> None:
        for number in itertools.count():
            store.write_map(path, constant(1 + number % 2), "yx")
            if stop.is_set():
                return

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        seen = {tuple(np.unique(store.read_map(path)).tolist()) for _ in range(40)}
        assert all(store.has_map(path) for _ in range(200))
    finally:
        stop.set()
        writer.join()
    assert seen <= {(1,), (2,)}


def test_only_our_temporaries_are_removed(tmp_path: Path) -> None:
    ours = [files.beside(tmp_path / name).name for name in ("a.ome.zarr", "b.c.ome.zarr")]
    theirs = ["a.ome.zarr", ".a.ome.zarr", ".a.ome.zarr.1234567", ".a.ome.zarr.12345678.tmp"]
    theirs += ["a.ome.zarr.12345678", ".hidden.12345678", ".a.ome.zarr.notours0"]
    for name in ours + theirs:
        (tmp_path / name / "0").mkdir(parents=True)
    files.beside(tmp_path / "c.ome.zarr").write_text("a file")
    files.remove_temporaries(tmp_path, ".ome.zarr")
    assert {entry.name for entry in tmp_path.iterdir()} == set(theirs)
    files.remove_temporaries(tmp_path / "nothing", ".ome.zarr")


# --- links ------------------------------------------------------------------------------------


def test_a_linked_image_is_read_in_place_and_its_source_stays_untouched(tmp_path: Path) -> None:
    source, path = tmp_path / "source.ome.zarr", tmp_path / "a.ome.zarr"
    pixels = noise((1, 20, 30))
    store.write_image(source, ImageArray(pixels, "cyx", {"y": 0.5, "x": 0.5}), {})
    before = sorted(source.rglob("*"))
    store.link_image(path, source, {"name": "a"})
    publish(path, constant(1))
    assert (path / "0").is_symlink() and (path / "0").resolve() == source / "0"
    np.testing.assert_array_equal(store.read_ome_zarr(path).data[...], pixels)
    assert store.read_ome_zarr(path).scale["y"] == 0.5
    store.validate(path)
    store.validate(path / "labels" / "ground_truth")
    assert sorted(source.rglob("*")) == before


@pytest.mark.parametrize("valid", [True, False])
def test_a_link_keeps_the_names_of_channels_where_they_are_valid(
    tmp_path: Path, valid: bool
) -> None:
    source, path = tmp_path / "source.ome.zarr", tmp_path / "a.ome.zarr"
    store.write_image(source, ImageArray(noise((1, 4, 5)), "cyx", channel_names=("DAPI",)), {})
    if not valid:
        text = (source / "zarr.json").read_text()
        (source / "zarr.json").write_text(text.replace('"window"', '"windows"'))
    store.link_image(path, source, {})
    store.validate(path)
    assert store.read_ome_zarr(path).channel_names == (("DAPI",) if valid else ())


@pytest.mark.parametrize("kind", ["missing", "file", "0.4", "damaged", "axes"])
def test_what_cannot_be_linked_is_refused_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    source, path = tmp_path / "source.zarr", tmp_path / "images" / "a.ome.zarr"
    path.parent.mkdir()
    if kind == "file":
        source.write_text("no folder")
    elif kind == "0.4":
        zarr.open_group(source, mode="w", zarr_format=2)
    elif kind == "damaged":
        source.mkdir()
        (source / "zarr.json").write_text("{")
    elif kind == "axes":
        store.write_image(source, ImageArray(noise((4, 5)), "yx"), {})
    with pytest.raises((ImageFileError, ProjectError), match=re.escape("source.zarr")):
        store.link_image(path, source, {})
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["../b.ome.zarr/0", "{root}/b.ome.zarr/0", "0/../../b.ome.zarr/0"])
def test_an_image_cannot_name_arrays_outside_of_it(tmp_path: Path, name: str) -> None:
    for folder in ("a", "b"):
        image = ImageArray(noise((1, 4, 5)), "cyx")
        store.write_image(tmp_path / f"{folder}.ome.zarr", image, {})
    path = tmp_path / "a.ome.zarr"
    content = json.loads((path / "zarr.json").read_text())
    datasets = content["attributes"]["ome"]["multiscales"][0]["datasets"]
    datasets[0]["path"] = name.format(root=tmp_path)
    (path / "zarr.json").write_text(json.dumps(content))
    with pytest.raises(ImageFileError, match="is not in it"):
        store.read_ome_zarr(path)


@pytest.mark.parametrize(
    ("axes", "shape", "sides"),
    [
        ("cyx", (3, 2000, 300), (3, 512, 300)),
        ("cyx", (1, 2000, 3000), (1, 1024, 1024)),
        ("tczyx", (5, 2, 4, 600, 700), (1, 2, 1, 512, 512)),
        ("cyx", (9, 40, 50), (1, 40, 50)),
        ("zyx", (7, 2000, 2000), (1, 1024, 1024)),
    ],
)
def test_few_channels_share_a_chunk_and_planes_do_not(
    axes: str, shape: tuple[int, ...], sides: tuple[int, ...]
) -> None:
    assert ome_metadata.chunk_sides(shape, axes, 1024) == sides

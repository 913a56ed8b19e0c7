"""OME-Zarr on disk.

Images are written once.  A label set is replaced as a whole: the new array is written beside the
old one as a new revision and the group's metadata, one small file that is swapped atomically,
points to it.  So a reader sees the old or the new label set, never a mixture, and a killed writer
leaves only an array that nothing points to.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage import ome_metadata, zarr_arrays
from napari_threestage.errors import ImageFileError, ProjectError
from napari_threestage.files import beside, put_folder, remove_temporaries
from napari_threestage.files import write_json as write_json
from napari_threestage.ome_metadata import validate as validate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CHUNK = 1024  # side of a chunk of one channel
NAMESPACE = "threestage"  # our own entries in the attributes of a group


@dataclass(frozen=True)
class ImageArray:
    """An image as it lies on disk; `data` is read lazily.

    Attributes
    ----------
    data
        Array with the axes `axes`, a subset of ``tczyx`` in that order.
    scale, unit
        Size of a pixel along each axis where known.
    coarser
        The levels of the pyramid below `data`, where there are any.
    """

    data: Any
    axes: str
    scale: dict[str, float] = field(default_factory=dict)
    unit: dict[str, str] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    coarser: tuple[Any, ...] = ()


def write_image(path: Path, image: ImageArray, attributes: Mapping[str, Any]) -> None:
    """Write an OME-Zarr 0.5 image at `path`, complete or not at all.

    Parameters
    ----------
    path
        Folder that does not exist yet.
    image
        The array, with its axes, scale and units.
    attributes
        Our own entries, kept under `NAMESPACE`.
    """
    temporary = beside(path)
    try:
        levels = ome_metadata.pyramid(np.asarray(image.data), ome_metadata.mean_of_four)
        _write_levels(temporary, levels, image.axes, "")
        ome = ome_metadata.image(image.axes, levels, image.scale, image.unit, image.channel_names)
        _write_group(temporary, ome, attributes)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def link_image(path: Path, source: Path, attributes: Mapping[str, Any]) -> None:
    """Make an image whose arrays are symbolic links to those of an OME-Zarr 0.5 image.

    Raises
    ------
    ImageFileError
        The source has another version or other axes than this program writes.
    """
    ome = (_read_group(source) or {}).get("attributes", {}).get("ome", {})
    multiscale = (ome.get("multiscales") or [{}])[0]
    axes = "".join(axis["name"] for axis in multiscale.get("axes", []))
    if axes not in {"cyx", "czyx", "tcyx", "tczyx"}:
        raise ImageFileError(
            f"{source.name} cannot be linked.",
            "Only OME-Zarr 0.5 images with the axes (t) c (z) y x can; import without --link.",
        )
    temporary = beside(path)
    try:
        for number, dataset in enumerate(multiscale["datasets"]):
            temporary.mkdir(parents=True, exist_ok=True)
            (temporary / str(number)).symlink_to(source / dataset["path"])
            dataset["path"] = str(number)
        _write_group(temporary, ome_metadata.link(ome, multiscale), attributes)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_ome_zarr(path: Path) -> ImageArray:
    """Open the full resolution of an OME-Zarr 0.4 or 0.5 image.

    Raises
    ------
    ImageFileError
        The folder is no OME-Zarr image or is damaged.
    """
    try:
        ome = _read_ome(path)
        multiscale = ome["multiscales"][0]
        data, *coarser = (
            zarr_arrays.open_to_read(path / name) for name in ome_metadata.array_names(multiscale)
        )
        axes, scale, unit = ome_metadata.read_axes(multiscale)
        channels = ome_metadata.read_channel_names(ome)
    except Exception as error:  # zarr, codecs and damaged metadata raise many kinds
        raise ImageFileError(
            f"{path.name} cannot be opened as an OME-Zarr image ({type(error).__name__}: {error}).",
            "It has to be OME-Zarr 0.4 or 0.5; write it again or convert it to TIFF.",
        ) from error
    return ImageArray(data, axes, scale, unit, channels, tuple(coarser))


def publish_labels(
    image_path: Path,
    name: str,
    labels: np.ndarray,
    classes: Sequence[Any],
    attributes: Mapping[str, Any],
) -> None:
    """Replace the label set `name` of an image by `labels`, as a whole.

    Parameters
    ----------
    image_path
        The OME-Zarr image.
    labels
        uint8 or uint16, the image's shape without its channels; 0 = not labelled, else class ids.
    classes
        Objects with `id`, `name` and `color` (red, green, blue), in order.
    attributes
        Our own entries, kept under `NAMESPACE`.
    """
    source = read_ome_zarr(image_path)
    axes = source.axes.replace("c", "")
    group = image_path / "labels" / name
    old = _revision(group)
    revision = f"{int(old or 0) + 1:04d}"
    _remove_other_revisions(group, old)
    levels = ome_metadata.pyramid(labels, ome_metadata.one_of_four)
    _write_levels(group, levels, axes, f"{revision}-")
    ome = ome_metadata.labels(axes, levels, source.scale, source.unit, classes, f"{revision}-")
    _write_group(group, ome, attributes)
    _list_label_sets(image_path / "labels")


def remove_labels(image_path: Path, name: str) -> None:
    """Remove the label set `name` of an image as a whole; who reads it gets it whole or not."""
    folder = image_path / "labels"
    remove_temporaries(folder, name)  # what was killed in here
    if (folder / name).is_dir():
        gone = beside(folder / name)
        (folder / name).rename(gone)  # for `read_labels`
        _list_label_sets(folder)
        shutil.rmtree(gone, ignore_errors=True)


def label_sets(image_path: Path) -> list[str]:
    """Return the names of the label sets of an image."""
    return _label_sets(image_path / "labels")


def write_label_image(
    path: Path, image: ImageArray, classes: Sequence[Any], attributes: Mapping[str, Any]
) -> None:
    """Write or replace a label image that belongs to no image, complete or not at all.

    Parameters
    ----------
    path
        Folder that does not exist yet, or of a label image, which is replaced.
    image
        Unsigned integers, 0 = not labelled, else class ids; with axes, scale and units.
    classes, attributes
        See `publish_labels`.
    """
    temporary = beside(path)
    try:
        levels = ome_metadata.pyramid(np.asarray(image.data), ome_metadata.one_of_four)
        _write_levels(temporary, levels, image.axes, "")
        ome = ome_metadata.labels(image.axes, levels, image.scale, image.unit, classes, "")
        del ome["image-label"]["source"]  # which would be an image around it
        _write_group(temporary, ome, attributes)
        put_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_labels(image_path: Path, name: str) -> np.ndarray | None:
    """Read a label set whole; None if there is no such set.

    Raises
    ------
    ProjectError
        The label set is damaged.
    """
    group = image_path / "labels" / name
    while (revision := _revision(group)) is not None:
        path, problem = group / f"{revision}-0", None
        try:
            labels = read_map(path)
        except ProjectError as error:
            problem = error
        # Chunks of a removed array read as 0. An array is removed by renaming it first, so one
        # that still has its name was whole while it was read.
        if problem is None and path.is_dir():
            return labels
        if _revision(group) == revision:  # nobody replaced it
            raise ProjectError(
                f"The label set {name} of {image_path.name} is damaged.", "Restore a copy."
            ) from problem
    return None


def read_attributes(group: Path) -> dict[str, Any] | None:
    """Return our own entries of a group without opening its arrays; None if it does not exist."""
    content = _read_group(group)
    return None if content is None else dict(content.get("attributes", {}).get(NAMESPACE, {}))


def write_group_attributes(
    path: Path, attributes: Mapping[str, Any], ome: Mapping[str, Any] | None = None
) -> None:
    """Make a folder a zarr group with our own entries, and with OME metadata where it has some."""
    _write_group(path, ome, attributes)


def write_map(path: Path, values: np.ndarray, axes: str) -> None:
    """Write or replace a plain array (a pseudo-mask or confidence of a run) as a whole.

    A folder cannot be swapped for another in one step, so the old array is set aside for a moment;
    `read_map` finds it there.
    """
    temporary = beside(path)
    aside = _set_aside(path)
    try:
        _write_array(temporary, values, axes)
        if path.exists():
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
        temporary.rename(path)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def has_map(path: Path) -> bool:
    """Whether there is an array of `write_map`."""
    places = (path, _set_aside(path), path)  # again, for it may have come back meanwhile
    return any(_identity(place) is not None for place in places)


def read_map(path: Path) -> np.ndarray:
    """Read an array of `write_map` whole.

    Raises
    ------
    ProjectError
        It is missing or damaged.
    """
    while True:
        before = _identity(path)
        place = _set_aside(path) if before is None and _set_aside(path).exists() else path
        try:
            values, problem = np.asarray(zarr_arrays.open_to_read(place)[...]), None
        except Exception as error:  # zarr and codecs raise many kinds
            problem = error
        if _identity(path) != before:
            continue  # replaced meanwhile: the chunks may be a mixture
        if problem is None:
            return values
        raise ProjectError(
            f"{path} is missing or damaged ({type(problem).__name__}: {problem}).",
            "Restore a copy.",
        ) from problem


def _set_aside(path: Path) -> Path:
    """Return where `write_map` keeps the old array while it puts the new one in its place."""
    return path.with_name(f".{path.name}.previous")


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a folder from another of the same name; None if there is none."""
    try:
        found = (path / "zarr.json").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _write_array(path: Path, values: np.ndarray, axes: str) -> None:
    chunks = ome_metadata.chunk_sides(values.shape, axes, CHUNK)
    zarr_arrays.create_array(path, values.shape, values.dtype, axes, chunks)[...] = values


def _read_ome(path: Path) -> Any:
    """Return the OME metadata of a group, of version 0.5 or 0.4."""
    content = _read_group(path)
    if content is not None:
        attributes = content["attributes"]
        return attributes.get("ome", attributes)
    return zarr_arrays.read_old_attributes(path)


def _write_group(path: Path, ome: Mapping[str, Any] | None, attributes: Mapping[str, Any]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    entries = {NAMESPACE: dict(attributes)} | ({"ome": ome} if ome is not None else {})
    write_json(path / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": entries})


def _write_levels(path: Path, levels: Sequence[np.ndarray], axes: str, prefix: str) -> None:
    for number, level in enumerate(levels):
        _write_array(path / f"{prefix}{number}", level, axes)


def _list_label_sets(folder: Path) -> None:
    """List the label sets that lie in a folder.

    The list follows from the folders and is compared again once it is written, because another
    process may publish its first label set in between and list it before we write ours.
    """
    while (names := _label_sets(folder)) != _listed(folder):
        _write_group(folder, {"version": "0.5", "labels": names}, {})


def _label_sets(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("[!.]*/zarr.json"))


def _listed(folder: Path) -> Any:
    content = _read_group(folder)
    return None if content is None else content["attributes"]["ome"]["labels"]


def _read_group(path: Path) -> dict[str, Any] | None:
    """Return the metadata of a zarr v3 group, None if it does not exist."""
    try:
        content = json.loads((path / "zarr.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise ProjectError(f"{path / 'zarr.json'} is damaged.", "Restore a copy.") from error
    if not isinstance(content, dict):
        raise ProjectError(f"{path / 'zarr.json'} is damaged.", "Restore a copy.")
    return content


def _revision(group: Path) -> str | None:
    content = _read_group(group)
    if content is None:
        return None
    path: str = content["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"]
    return path.split("-")[0]


def _remove_other_revisions(group: Path, keep: str | None) -> None:
    """Remove what a killed writer left and all but the current revision, which readers may hold."""
    if group.is_dir():
        for entry in list(group.iterdir()):
            if entry.is_dir() and entry.name.split("-")[0] != keep:
                gone = beside(entry)
                entry.rename(gone)  # for `read_labels`
                shutil.rmtree(gone, ignore_errors=True)
        remove_temporaries(group, "zarr.json")

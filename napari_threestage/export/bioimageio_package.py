"""A package of the BioImage Model Zoo: ONNX weights, test tensors, and our own file beside them.

``bioimageio.spec`` is used with the network closed: nothing here needs to ask anybody.
"""

from __future__ import annotations

import gc
import itertools
import re
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import ValidationError

from napari_threestage.errors import ConfigError, NotReadyError, ThreeStageError
from napari_threestage.export import onnx_file
from napari_threestage.export.package_pages import cover_picture, read_me
from napari_threestage.extra import missing_package
from napari_threestage.model_file import WEIGHTS
from napari_threestage.planes import PERCENTILES, to_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.export.material import Material
    from napari_threestage.segmenter_info import SegmenterInfo

DESCRIPTION = "threestage.json"
MOST_TEXT = 128  # letters of the description of an axis
EPSILON = 1e-12  # that scale_range adds to the range; `planes.to_bytes` has it as the least


def require_packages() -> Any:
    """Return ``bioimageio.spec.model.v0_5``; `NotReadyError` where a package is missing."""
    try:
        from bioimageio.spec.model import v0_5
    except ImportError as error:
        raise missing_package("bioimageio.spec", "bioimageio") from error
    onnx_file.require_packages()
    return v0_5


def write(material: Material, path: Path) -> None:
    """Write the package."""
    v0_5 = require_packages()
    with tempfile.TemporaryDirectory(prefix="threestage-") as name:
        folder = Path(name)
        opset = _write_files(material, folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            _pack(v0_5, material, folder, opset, path)
            gc.collect()  # closes the files that bioimageio.spec leaves open


def _pack(v0_5: Any, material: Material, folder: Path, opset: int, path: Path) -> None:
    from bioimageio.spec import ValidationContext, save_bioimageio_package_to_stream

    # What is checked here is the form; a process that has nothing but the file checks the rest.
    with ValidationContext(root=folder, perform_io_checks=False, warning_level=50):
        try:
            described = _describe(v0_5, material, folder, opset)
        except ValidationError as error:  # of what the format does not know
            first = error.errors()[0]
            given = str(first["input"])[:MOST_TEXT]
            raise ConfigError(
                f"A package of the Model Zoo cannot have the {first['loc'][0]} {given!r}.",
                "Give another one with the options of threestage export, which are remembered in "
                "exports/card.json of the project, or take another --format.",
            ) from error
    with path.open("wb") as file:
        save_bioimageio_package_to_stream(described, output_stream=file)


def _write_files(material: Material, folder: Path) -> int:
    """Write what the package is made of, and return the version of the ONNX operators."""
    info, [crop] = material.segmenter.info, material.crops[0]
    kind = _steps(info, crop.raw.dtype)
    raw = crop.raw[np.newaxis].astype(_data_type(crop.raw.dtype), copy=False)
    images = torch.from_numpy(apply_steps(raw, kind))
    _check_steps(crop.raw, images.numpy()[0], info)
    with torch.inference_mode():
        found = material.segmenter.network(images).softmax(1).numpy()
    np.save(folder / "test_input.npy", raw)
    np.save(folder / "test_output.npy", found)
    cover_picture(crop.pixels, found[0], info).save(folder / "cover.png")
    (folder / "README.md").write_text(read_me(info), encoding="utf-8")
    (folder / DESCRIPTION).write_text(info.to_json(), encoding="utf-8")
    material.segmenter.save(folder / WEIGHTS)
    return onnx_file.write(material, folder / "model.onnx")


def _check_steps(raw: np.ndarray, images: np.ndarray, info: SegmenterInfo) -> None:
    """Raise where what the package does to stored values is not what we do, to half a grey level.

    Raises
    ------
    NotReadyError
        Some pixels have no value, which the steps of the format cannot leave out.
    ThreeStageError
        The steps are wrong.
    """
    if not np.isfinite(raw.astype(np.float32)).all():
        raise NotReadyError(
            "The images have pixels without a value (NaN or infinite), which programs that read "
            "packages of the Model Zoo cannot leave out.",
            "Take another --format, or give these pixels a value.",
        )
    difference = np.abs(images - to_bytes(raw, info.normalisation) / 255).max()
    if not difference <= 1 / 255:
        raise ThreeStageError(
            f"The preprocessing of the package gives other values than this program's, by up to "
            f"{difference:.2g} of 1.",
            "Nothing was written; take another --format.",
        )


def _describe(v0_5: Any, material: Material, folder: Path, opset: int) -> Any:
    info = material.segmenter.info
    card = info.card
    assert card is not None
    kind = _data_type(material.crops[0][0].raw.dtype)

    def file(name: str) -> Any:
        return v0_5.FileDescr(source=folder / name)

    return v0_5.ModelDescr(
        name=_plain(card.name),
        description=card.description[:1024],
        authors=[v0_5.Author(name=author.replace("/", " ")) for author in card.authors],
        cite=[
            v0_5.CiteEntry(text=one["text"], url=one["url"])
            for one in card.citation
            if "url" in one
        ],
        license=card.licence or None,
        tags=[
            "semantic-segmentation",
            "semi-supervised",
            "self-training",
            "2d",
            "napari-threestage",
        ],
        documentation=file("README.md"),
        covers=[file("cover.png")],
        attachments=[file(WEIGHTS), file(DESCRIPTION)],
        inputs=[_input(v0_5, material, file("test_input.npy"), kind)],
        outputs=[_output(v0_5, info, file("test_output.npy"))],
        weights=v0_5.WeightsDescr(
            onnx=v0_5.OnnxWeightsDescr(source=folder / "model.onnx", opset_version=opset)
        ),
    )


def _input(v0_5: Any, material: Material, tensor: Any, kind: str) -> Any:
    info = material.segmenter.info
    assert info.card is not None
    step = material.multiple
    # What is left of the smallest image once its halo is taken off has to be something.
    least = -(-max(info.card.smallest, 2 * info.inference["halo"] + 1) // step) * step
    size = v0_5.ParameterizedSize(min=least, step=step)
    names = identifiers(info.card.channel_names, "channel")
    places = [v0_5.SpaceInputAxis(id=axis, size=size, **_scale(v0_5, info, axis)) for axis in "yx"]
    return v0_5.InputTensorDescr(
        id="images",
        axes=[v0_5.BatchAxis(), v0_5.ChannelAxis(channel_names=names), *places],
        test_tensor=tensor,
        data=v0_5.IntervalOrRatioDataDescr(type=kind),
        preprocessing=[_step(v0_5, *one) for one in _steps(info, material.crops[0][0].raw.dtype)],
    )


def _output(v0_5: Any, info: SegmenterInfo, tensor: Any) -> Any:
    names = [entry["name"] for entry in info.classes]
    places = [
        v0_5.SpaceOutputAxisWithHalo(
            id=axis,
            size=v0_5.SizeReference(tensor_id="images", axis_id=axis),
            halo=info.inference["halo"],
            **_scale(v0_5, info, axis),
        )
        for axis in "yx"
    ]
    channels = v0_5.ChannelAxis(
        channel_names=identifiers(names, "class"), description=", ".join(names)[:MOST_TEXT]
    )
    return v0_5.OutputTensorDescr(
        id="probabilities",
        description="The probability of each class.",
        axes=[v0_5.BatchAxis(), channels, *places],
        test_tensor=tensor,
        data=v0_5.IntervalOrRatioDataDescr(type="float32", range=(0.0, 1.0)),
    )


def _scale(v0_5: Any, info: SegmenterInfo, axis: str) -> dict[str, Any]:
    """Return size and unit of a pixel as arguments of an axis, where the format knows the unit."""
    card = info.card
    assert card is not None
    size, unit = card.pixel_size.get(axis, 1.0), card.pixel_unit.get(axis)
    try:
        v0_5.SpaceInputAxis(id="y", size=64, unit=unit, scale=size)
    except ValueError:
        return {}
    return {"scale": size, "unit": unit}


def _steps(info: SegmenterInfo, dtype: np.dtype[Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return what brings stored values to [0, 1], see `planes.to_bytes`, as steps of the format."""
    method = info.normalisation
    if method == "auto":
        method = "range" if dtype in (np.uint8, np.bool_) else "percentile"
    # Without a last step of its own the format casts back to the type of the image.
    last: list[tuple[str, dict[str, Any]]]
    last = [("clip", {"min": 0.0, "max": 1.0}), ("ensure_dtype", {"dtype": "float32"})]
    if method == "range":
        low, high = (0.0, 1.0)
        if np.issubdtype(dtype, np.integer):
            low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
        return [("scale_linear", {"gain": 1 / (high - low), "offset": -low / (high - low)}), *last]
    low, high = PERCENTILES
    kwargs = {"axes": ["y", "x"], "min_percentile": low, "max_percentile": high, "eps": EPSILON}
    return [("scale_range", kwargs), *last]


def _step(v0_5: Any, name: str, kwargs: dict[str, Any]) -> Any:
    stem = "".join(part.capitalize() for part in name.split("_"))
    return getattr(v0_5, f"{stem}Descr")(kwargs=getattr(v0_5, f"{stem}Kwargs")(**kwargs))


def apply_steps(raw: np.ndarray, steps: Sequence[tuple[str, dict[str, Any]]]) -> np.ndarray:
    """Return what the steps make of images (B, C, H, W): float32 in [0, 1]."""
    values = raw.astype(np.float32)
    for name, given in steps:
        if name == "scale_linear":
            values = values * given["gain"] + given["offset"]
        elif name == "clip":
            values = values.clip(given["min"], given["max"])
        elif name == "scale_range":
            limits = (given["min_percentile"], given["max_percentile"])
            low, high = np.percentile(values, limits, axis=(-2, -1), keepdims=True)
            values = (values - low) / (high - low + given["eps"])
    return values.astype(np.float32)


def _data_type(dtype: np.dtype[Any]) -> str:
    """Return the type of the test image; the format has no numbers that are true or false."""
    return "uint8" if dtype == np.bool_ else str(dtype.newbyteorder("="))


def identifiers(names: Sequence[str], what: str) -> list[str]:
    """Return names that the format allows: letters, digits and underscores, each only once."""
    made: list[str] = []
    for number, name in enumerate(names):
        plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
        if not plain or not plain.isidentifier():
            plain = f"{what}_{number}" + (f"_{plain}" if plain else "")
        others = (f"{plain}_{count}" for count in itertools.count(2))
        made.append(plain if plain not in made else next(one for one in others if one not in made))
    return made


def _plain(name: str) -> str:
    """Return a name as the format allows it: 5 to 128 letters, digits, spaces and a few more."""
    plain = re.sub(r"[^\w\- ()]+", " ", name, flags=re.ASCII).strip()[:118]
    return plain if len(plain) >= 5 else f"{plain} segmenter".strip()

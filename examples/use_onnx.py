"""Segment an image with an exported .onnx file: onnxruntime and numpy, no PyTorch.

    threestage export my_project --format onnx --output segmenter.onnx
    python examples/use_onnx.py segmenter.onnx image.tif mask.tif

Needs onnxruntime, numpy and pillow, and tifffile for TIFF.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import onnxruntime
from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("image")
    parser.add_argument("output", help="a file with class numbers from 0")
    options = parser.parse_args()

    # 1. The network, and the description among its metadata.
    session = onnxruntime.InferenceSession(options.file, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["threestage"])

    # 2. The image as the network takes it: (1, channels, rows, columns), float32 in [0, 1].
    pixels = prepare(read(options.image), about)

    # 3. Probabilities (1, classes, rows, columns) of tiles that overlap, and the best class.
    def predict(images: np.ndarray) -> np.ndarray:
        return session.run(["probabilities"], {"images": images})[0]

    probabilities = in_tiles(predict, pixels, about)
    mask = probabilities.argmax(0).astype(np.uint8)
    write(options.output, mask)

    for number, one in enumerate(about["classes"]):
        print(f"{number} {one['name']}: {(mask == number).mean():.1%}")
    print(f"mean confidence {probabilities.max(0).mean():.2f}")


def read(path: str) -> np.ndarray:
    """Return the pixels (rows, columns) or (rows, columns, channels) of a file."""
    if path.lower().endswith((".tif", ".tiff")):
        import tifffile

        return tifffile.imread(path)
    return np.asarray(Image.open(path))


def write(path: str, mask: np.ndarray) -> None:
    if path.lower().endswith((".tif", ".tiff")):
        import tifffile

        tifffile.imwrite(path, mask)
    else:
        Image.fromarray(mask).save(path)


def prepare(image: np.ndarray, about: dict) -> np.ndarray:
    """Choose the channels and bring the values to [0, 1], as the description says."""
    planes = image[np.newaxis] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    if len(planes) == 1:
        planes = np.repeat(planes, about["n_channels"], 0)  # a grey image fills all channels
    elif about["channels"] is not None:
        planes = planes[about["channels"]]
    if len(planes) != about["n_channels"]:
        raise SystemExit(f"{about['n_channels']} channels are needed, not {len(planes)}.")
    method = about["normalisation"]
    if method == "auto":  # bytes fill their range, other numbers rarely do
        method = "range" if image.dtype == np.uint8 else "percentile"
    values = planes.astype(np.float32)
    if method == "percentile":
        low, high = np.percentile(values, (0.1, 99.9), axis=(1, 2), keepdims=True)
    elif np.issubdtype(image.dtype, np.integer):
        low, high = np.iinfo(image.dtype).min, np.iinfo(image.dtype).max
    else:
        low, high = 0.0, 1.0
    scaled = (values - low) / np.maximum(np.subtract(high, low), 1e-12)
    return scaled.clip(0, 1)[np.newaxis].astype(np.float32)


def in_tiles(predict, pixels: np.ndarray, about: dict) -> np.ndarray:
    """Return probabilities (classes, rows, columns): each tile is seen with a halo around it."""
    tile, halo = about["inference"]["tile"], about["inference"]["halo"]
    multiple, smallest = about["card"]["multiple"], about["card"]["smallest"]
    rows, columns = pixels.shape[-2:]
    if max(rows, columns) <= tile:
        halo = 0  # all at once
    result = np.empty((len(about["classes"]), rows, columns), np.float32)
    for top in range(0, rows, tile):
        for left in range(0, columns, tile):
            bottom, right = min(top + tile, rows), min(left + tile, columns)
            first, start = max(top - halo, 0), max(left - halo, 0)
            window = pixels[..., first : bottom + halo, start : right + halo]
            height, width = window.shape[-2:]
            # The network takes sides that are multiples of some number.
            sides = (max(-(-side // multiple) * multiple, smallest) for side in (height, width))
            margin = [(0, want - have) for want, have in zip(sides, (height, width), strict=True)]
            found = predict(np.pad(window, [(0, 0), (0, 0), *margin], mode="edge"))[0]
            inner = found[:, top - first : bottom - first, left - start : right - start]
            result[:, top:bottom, left:right] = inner
    return result


if __name__ == "__main__":
    main()

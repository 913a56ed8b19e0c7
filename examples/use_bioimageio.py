"""Segment an image with an exported BioImage package, with bioimageio.core.

    threestage export my_project --format bioimageio --output segmenter.zip
    python examples/use_bioimageio.py segmenter.zip image.png mask.png

Needs bioimageio.core, onnxruntime and pillow. The package holds the preprocessing, so that nothing
has to be known of it here; napari-threestage reads the same file: threestage predict segmenter.zip.
"""

from __future__ import annotations

import argparse
import json
import zipfile

import numpy as np
from bioimageio.core import create_prediction_pipeline, load_model_description
from bioimageio.core.digest_spec import create_sample_for_model
from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("image")
    parser.add_argument("output", help="a PNG with class numbers from 0")
    options = parser.parse_args()

    # 1. The package, and what it says about its classes, channels and sizes.
    model = load_model_description(options.file, perform_io_checks=False)
    with zipfile.ZipFile(options.file) as archive:
        about = json.loads(archive.read("threestage.json"))

    # 2. The image as (batch, channel, y, x), its sides filled up to what the network takes.
    image = np.asarray(Image.open(options.image))
    planes = image[np.newaxis] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    if len(planes) == 1:
        planes = np.repeat(planes, about["n_channels"], 0)
    elif about["channels"] is not None:
        planes = planes[about["channels"]]
    rows, columns = planes.shape[1:]
    size = model.inputs[0].axes[2].size  # the least length of a side, and the step to longer ones
    margin = [(0, next_length(side, size.min, size.step) - side) for side in (rows, columns)]
    pixels = np.pad(planes, [(0, 0), *margin], mode="edge")[np.newaxis]

    # 3. Preprocessing, network and postprocessing are in the pipeline.
    with create_prediction_pipeline(model, weight_format="onnx") as pipeline:
        sample = create_sample_for_model(model, inputs={"images": pixels})
        # The image is predicted whole, so that it needs no halo; for large images there is
        # predict_sample_with_blocking.
        result = pipeline.predict_sample_without_blocking(
            sample, skip_input_padding=True, skip_output_cropping=True
        )
    probabilities = np.asarray(result.members["probabilities"].data)[0, :, :rows, :columns]
    mask = probabilities.argmax(0).astype(np.uint8)
    Image.fromarray(mask).save(options.output)

    for number, one in enumerate(about["classes"]):
        print(f"{number} {one['name']}: {(mask == number).mean():.1%}")
    print(f"mean confidence {probabilities.max(0).mean():.2f}")


def next_length(side: int, least: int, step: int) -> int:
    return least + max(0, -(-(side - least) // step)) * step


if __name__ == "__main__":
    main()

"""Run in a process of its own: an ONNX network on stored images, with onnxruntime and numpy."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main() -> None:
    """Write the output of each ``input-N.npy`` of a folder, and print what it was done with."""
    file, folder = sys.argv[1], Path(sys.argv[2])
    network = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for path in sorted(folder.glob("input-*.npy")):
        (found,) = network.run(["probabilities"], {"images": np.load(path)})
        np.save(folder / path.name.replace("input", "output"), found)
    assert not {"napari_threestage", "torch"} & set(sys.modules)
    info = network.get_modelmeta().custom_metadata_map["threestage"]
    print(json.dumps({"info": info, "versions": {"onnxruntime": onnxruntime.__version__}}))


if __name__ == "__main__":
    main()

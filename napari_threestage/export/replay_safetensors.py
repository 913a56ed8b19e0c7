"""Run in a process of its own: a file of this program on stored images."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from napari_threestage.inference.segmenter import load_segmenter


def main() -> None:
    """Write the output of each ``input-N.npy`` of a folder, and print what it was done with."""
    file, folder = Path(sys.argv[1]), Path(sys.argv[2])
    segmenter = load_segmenter(file, torch.device("cpu"))
    for path in sorted(folder.glob("input-*.npy")):
        with torch.inference_mode():
            found = segmenter.network(torch.from_numpy(np.load(path))).softmax(1)
        np.save(folder / path.name.replace("input", "output"), found.numpy())
    versions = {name: version(name) for name in ("napari-threestage", "torch")}
    print(json.dumps({"info": segmenter.info.to_json(), "versions": versions}))


if __name__ == "__main__":
    main()

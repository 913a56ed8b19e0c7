"""Run in a process of its own: a program of torch.export on stored images, with torch alone."""

import json
import sys
from pathlib import Path

import numpy as np
import torch


def main() -> None:
    """Write the output of each ``input-N.npy`` of a folder, and print what it was done with."""
    file, folder = sys.argv[1], Path(sys.argv[2])
    extra = {"threestage.json": ""}
    program = torch.export.load(file, extra_files=extra)
    network = program.module()
    for path in sorted(folder.glob("input-*.npy")):
        with torch.inference_mode():
            found = network(torch.from_numpy(np.load(path)))
        np.save(folder / path.name.replace("input", "output"), found.numpy())
    assert "napari_threestage" not in sys.modules
    print(json.dumps({"info": extra["threestage.json"], "versions": {"torch": torch.__version__}}))


if __name__ == "__main__":
    main()

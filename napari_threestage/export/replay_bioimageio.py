"""Run in a process of its own, without a network: a BioImage package as others use it.

bioimageio.core tests it where it is installed; else its description is checked.  Both ways its
ONNX network is run on stored images.
"""

import json
import socket
import sys
import tempfile
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime


def no_network(*arguments: object, **more: object) -> None:
    """Stand in for what would ask somebody else."""
    raise OSError("an export is checked without a network")


def report(package: Path) -> str:
    """Return why the package is not valid, or nothing."""
    if find_spec("bioimageio.core"):
        from bioimageio.core import test_model

        summary = test_model(package, weight_format="onnx", determinism="seed_only")
        return "" if summary.status == "passed" else summary.format()
    from bioimageio.spec import load_description

    summary = load_description(package, format_version="latest").validation_summary
    return "" if summary.status in ("passed", "valid-format") else summary.format()


def main() -> None:
    """Write the output of each ``input-N.npy`` of a folder, and print what it was done with."""
    for owner, name in ((socket.socket, "connect"), (socket, "getaddrinfo")):
        setattr(owner, name, no_network)
    package, folder = Path(sys.argv[1]), Path(sys.argv[2])
    problem = report(package)
    if problem:
        sys.exit(problem)
    with tempfile.TemporaryDirectory() as inside, zipfile.ZipFile(package) as archive:
        network = archive.extract("model.onnx", inside)
        info = archive.read("threestage.json").decode()
        session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
        for path in sorted(folder.glob("input-*.npy")):
            (found,) = session.run(["probabilities"], {"images": np.load(path)})
            np.save(folder / path.name.replace("input", "output"), found)
    assert "napari_threestage" not in sys.modules
    names = [name for name in ("bioimageio.core", "bioimageio.spec") if find_spec(name)]
    versions = {name: version(name) for name in (*names, "onnxruntime")}
    print(json.dumps({"info": info, "versions": versions}))


if __name__ == "__main__":
    main()

"""Is the estimate of memory right? Estimate against the peak of real trainings on the CPU.

    python benchmarks/memory.py [--quick] [--output FILE.json]

Every row is a project with drawn images and one ``threestage run`` of two steps a stage in a
process of its own, whose largest resident set the kernel tells when it ends.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from napari_threestage.check import plan_run
from napari_threestage.config import load_config, parse_setting
from napari_threestage.files import write_json
from napari_threestage.memory_estimate import MemoryEstimate, estimate_memory
from napari_threestage.project import Project, default_classes
from napari_threestage.store import ImageArray

STAGES = (1, 2)  # ĝ of stage 2 is the larger branch


@dataclass(frozen=True)
class Case:
    """One training: crops of a side, a third of them labelled; square images of a side."""

    backbone: str
    crop: int = 96
    crops: int = 8
    image: int = 256
    decoder: str = "pyramid"
    stride: int = 16
    classes: int = 3
    precision: str = "float32"
    zoom: float = 1.0

    @property
    def settings(self) -> list[str]:
        return [
            f"network.backbone={self.backbone}",
            "network.weights=none",
            f"network.decoder={self.decoder}",
            f"network.output_stride={self.stride}",
            f"network.zoom={self.zoom}",
            f"data.crop=[{self.crop},{self.crop}]",
            f"data.labelled_batch={self.crops // 2}",
            f"data.whole_set_batch={self.crops - self.crops // 2}",
            f"data.stage1_batch={self.crops // 2}",
            f"precision={self.precision}",
            "stages.steps=[2]",
        ]

    @property
    def name(self) -> str:
        more = f", {self.decoder}, stride {self.stride}" if self.decoder == "aspp" else ""
        more += f", {self.classes} classes" if self.classes > 3 else ""
        more += f", zoom {self.zoom:g}" if self.zoom != 1 else ""
        more += ", half" if self.precision != "float32" else ""
        return f"{self.backbone}{more}"


QUICK = (Case("compact"), Case("mobilenet_v2", 128), Case("resnet50", 128, 4))
ALL = (
    *QUICK,
    Case("compact", 192, 16),
    Case("compact", image=1200),
    Case("compact", 128, 8, classes=40),
    Case("mobilenet_v2", 96, 16),
    Case("mobilenet_v2", 192, 16),
    Case("mobilenet_v2", 64, 16, zoom=1.5),
    Case("mobilenet_v2", 128, 8, decoder="aspp", stride=8),
    Case("resnet18"),
    Case("resnet18", 192, 8),
    Case("resnet18", 192, 8, precision="bfloat16"),
    Case("resnet50", 192, 8),
)


def main() -> None:
    options = parse_arguments()
    rows = []
    for case in QUICK if options.quick else ALL:
        begun = time.monotonic()
        row = measure(case)
        rows.append(row)
        print(f"{case.name}: {time.monotonic() - begun:.0f} s", flush=True)
        if options.output:
            write_json(options.output, rows)
    print_table(rows)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three trainings, about a minute")
    parser.add_argument("--output", type=Path, help="keep the figures as JSON")
    return parser.parse_args()


def measure(case: Case) -> dict[str, Any]:
    """Train in a process of its own and return the estimate and the peak."""
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder) / "project", case)
        needed = estimate(project, case)
        peak = peak_of_run(project, case)
    return {
        "case": case.name,
        "crop": case.crop,
        "crops": case.crops,
        "image": case.image,
        "estimate": needed.host_bytes,
        "parts": needed.parts,
        "measured": peak,
        "ratio": needed.host_bytes / peak,
    }


def make_project(path: Path, case: Case) -> Project:
    """Six images of noise, two of them labelled all over."""
    names = [f"class {number}" for number in range(1, case.classes + 1)]
    project = Project.create(path, default_classes(names))
    rng = np.random.default_rng(0)
    side = case.image
    truth = (np.arange(side * side) % case.classes + 1).astype(np.uint8).reshape(side, side)
    for number in range(6):
        pixels = rng.integers(0, 256, (3, side, side), np.uint8)
        record, _ = project.add_image(f"image {number}", ImageArray(pixels, "cyx"))
        if number < 2:
            project.write_ground_truth(record.id, truth, "imported")
    project.save()
    return project


def estimate(project: Project, case: Case) -> MemoryEstimate:
    config = load_config("quick", dict(map(parse_setting, case.settings)))
    plan = plan_run(project, config)
    return estimate_memory(project, config, STAGES, "cpu", plan.labelled, plan.unlabelled)


def peak_of_run(project: Project, case: Case) -> int:
    """Return the largest resident set of a run, in bytes."""
    command = [sys.executable, "-m", "napari_threestage", "run", str(project.path), "--quiet"]
    command += ["--device", "cpu", "--stages", f"{STAGES[0]}-{STAGES[1]}"]
    command += [part for setting in case.settings for part in ("--set", setting)]
    with subprocess.Popen(command) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print estimate, measured peak and their ratio, in MB, with the parts of the estimate."""
    table = Table(title="Memory of a run on the CPU, MB", title_justify="left")
    table.add_column("network")
    for title in ("crops", "image", "process", "networks", "crops or tiles", "images"):
        table.add_column(title, justify="right")
    for title in ("estimate", "measured", "ratio"):
        table.add_column(title, justify="right", style="bold")
    for row in rows:
        parts = row["parts"]
        work = sum(parts.get(name, 0) for name in ("crops", "losses", "tiles"))
        sizes = (parts["process"], parts["networks"], work, parts["images"])
        table.add_row(
            row["case"],
            f"{row['crops']} x {row['crop']}²",
            f"{row['image']}²",
            *(f"{size / 1e6:.0f}" for size in (*sizes, row["estimate"], row["measured"])),
            f"{row['ratio']:.2f}",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()

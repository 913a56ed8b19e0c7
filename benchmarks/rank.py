"""How long `threestage rank` takes over very many images, and how much memory it needs.

    python benchmarks/rank.py --images 10000

The project and the lines that three stages would have noted of its images are made up; their pixels
are not read.  The command is timed as a process of its own, with its start.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from gui_projects import inputs_of, make_long_list

from napari_threestage.compare.places import Place
from napari_threestage.config import load_config
from napari_threestage.files import write_json
from napari_threestage.image_statistics import ImageStatistics, append
from napari_threestage.runs import Run

FEATURES, KINDS = 128, 40


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--top", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="keep the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "project"
        make(path, options.images)
        command = [sys.executable, "-m", "napari_threestage", "rank", str(path), "--json"]
        command += ["--top", str(options.top)]
        seconds = []
        for _ in range(options.repeats):
            begun = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.perf_counter() - begun)
    found = json.loads(done.stdout)
    figures = {
        "images": options.images,
        "ranked": found["ranked"],
        "top": len(found["images"]),
        "seconds": median(seconds),
        "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }
    print(json.dumps(figures, indent=1))
    if options.json:
        write_json(options.json, figures)


def make(path: Path, count: int) -> None:
    """A project of which every hundredth image has labels, with the lines of a run."""
    project = make_long_list(path, count)
    for at, image_id in enumerate(project.images):
        if at % 100:
            (project.image_path(image_id) / "labels" / "ground_truth" / "zarr.json").unlink()
    run = Run.create(project, load_config("quick"), inputs_of(project))
    rng = np.random.default_rng(0)
    middles = rng.standard_normal((KINDS, FEATURES))
    for stage in (1, 2, 3):
        lines = []
        for image_id in project.images:
            features = middles[rng.integers(KINDS)] + rng.normal(0, 0.5, FEATURES)
            counts = rng.integers(0, 1000, 4)
            changed = {before: rng.integers(0, 99, (4, 4)) for before in range(1, stage)}
            sure, differ, doubt = rng.random(3)
            place = Place((), (0, 48), (16, 64))
            lines.append(
                ImageStatistics(
                    image=image_id,
                    counts=counts,
                    confidence=sure,
                    disagreement=differ,
                    changed=changed,
                    place=place,
                    peak=doubt,
                    inconsistency=doubt if stage == 3 else None,
                    features=features.astype(np.float16),
                )
            )
        append(run.stage_path(stage) / "images.jsonl", lines)
        write_json(run.stage_path(stage) / "metrics.json", {})


if __name__ == "__main__":
    main()

"""The random forest as a process: what to do as JSON on stdin, the scores as JSON on stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from napari_threestage.benchmark.items import Item
from napari_threestage.errors import ThreeStageError


def main() -> int:
    """Train and score; exit code 1 and a sentence when the input is wrong."""
    from napari_threestage.benchmark.forest import train_and_score

    told: dict[str, Any] = json.load(sys.stdin)
    try:
        found = train_and_score(
            list(map(_item, told["labelled"])),
            list(map(Path, told["masks"])),
            list(map(_item, told["test"])),
            told["classes"],
            told["seed"],
            told["kinds"],
        )
    except ThreeStageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    json.dump(found.to_dict(), sys.stdout)
    return 0


def _item(entry: dict[str, str]) -> Item:
    return Item(entry["name"], Path(entry["image"]), Path(entry["mask"]))


if __name__ == "__main__":
    sys.exit(main())

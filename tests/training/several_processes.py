"""What test_workers.py runs under torchrun: a few steps of each recipe, and what was learned."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from trainer_helpers import gradients, losses_of, make

from napari_threestage.training.workers import joined

if TYPE_CHECKING:
    from napari_threestage.training.workers import Workers


def learned(options: dict[str, Any], workers: Workers) -> dict[str, Any]:
    trainer = make(**options, workers=workers)
    kept = {"losses": losses_of(trainer.train_step())}
    kept["gradients"] = gradients(trainer.network)
    for _ in range(2):
        trainer.train_step()
    trainer.finish(student=True)
    kept |= {"network": trainer.network.state_dict()}
    return kept | {"teacher": trainer.teacher.network.state_dict()}


def main(recipes: str, output: str) -> None:
    torch.set_num_threads(1)
    with joined(torch.device("cpu")) as workers:
        for number, options in enumerate(json.loads(recipes)):
            kept = learned(options, workers)
            torch.save(kept, Path(output) / f"{number}-{workers.rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])

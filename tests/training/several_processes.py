"""What test_workers.py runs under torchrun: a few steps, and what each process has learned."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from trainer_helpers import gradients, losses_of, make

from napari_threestage.training.workers import joined


def main(recipe: str, output: str) -> None:
    torch.set_num_threads(1)
    options = json.loads(recipe)
    with joined(torch.device("cpu")) as workers:
        trainer = make(**options, workers=workers)
        kept = {"losses": losses_of(trainer.train_step())}
        kept["gradients"] = gradients(trainer.network)
        for _ in range(2):
            trainer.train_step()
        kept |= {"network": trainer.network.state_dict()}
        kept |= {"teacher": trainer.teacher.network.state_dict()}
        torch.save(kept, Path(output) / f"{workers.rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Checkpoints: complete or absent, read without running code."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from torch import nn

from napari_threestage.errors import ProjectError
from napari_threestage.training.checkpoint import load_checkpoint, save_checkpoint


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    layer = nn.Linear(3, 2)
    optimiser = torch.optim.AdamW([{"params": list(layer.parameters()), "factor": 0.1}])
    layer(torch.rand(4, 3)).sum().backward()
    optimiser.step()
    state = {"step": 7, "network": layer.state_dict(), "optimiser": optimiser.state_dict()}
    path = tmp_path / "new folder" / "checkpoint.pt"
    save_checkpoint(path, state)
    read = load_checkpoint(path)
    assert read is not None
    assert read["step"] == 7
    assert torch.equal(read["network"]["weight"], layer.weight)
    moments = read["optimiser"]["state"][0], optimiser.state_dict()["state"][0]
    assert torch.equal(moments[0]["exp_avg"], moments[1]["exp_avg"])
    assert read["optimiser"]["param_groups"][0]["factor"] == 0.1
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "checkpoint.pt") is None


@pytest.mark.parametrize("keep", [0, 10, -20])
def test_a_damaged_checkpoint_is_named(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"weights": torch.rand(100)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ProjectError, match=r"checkpoint\.pt is damaged.*Remove it"):
        load_checkpoint(path)


class Harmful:
    """Unpickling this would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "checkpoint.pt", tmp_path / "trace"
    torch.save({"step": Harmful(trace)}, path)
    with pytest.raises(ProjectError, match="damaged"):
        load_checkpoint(path)
    assert not trace.exists()


def test_an_interrupted_write_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 1})

    def fail(_: object, file: Any) -> NoReturn:
        file.write(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path) == {"step": 1}

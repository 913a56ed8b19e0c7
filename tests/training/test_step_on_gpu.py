"""What only an accelerator can show: the host never waits, the images stay on the device."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
import torch
from trainer_helpers import LIVE, losses_of, make

from napari_threestage.training.crops import DevicePlanes, HostPlanes
from napari_threestage.training.passes import Passes, ReplayedPasses

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
EVERYTHING = LIVE | {
    "augment.cutmix": 0.5,
    "augment.probability": 1.0,
    "loss.threshold": 0.3,
    "loss.dice": 0.5,
    "loss.class_weights": 0.5,
    "loss.crf": 0.3,
    "optimiser.clip": 1.0,
}


@pytest.fixture
def waiting_forbidden() -> Iterator[None]:
    """Make every wait of the host for the device an error, once entered by `set`."""
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_never_makes_the_host_wait(
    precision: str, sparse: bool, waiting_forbidden: None
) -> None:
    trainer = make(EVERYTHING | {"precision": precision}, device="cuda", sparse=sparse)
    for _ in range(3):  # cudnn looks for its fastest ways, the optimiser makes its state
        trainer.train_step()
    torch.cuda.set_sync_debug_mode("error")
    losses = [trainer.train_step() for _ in range(3)]
    torch.cuda.set_sync_debug_mode("default")
    assert all(value == value for step in losses for value in losses_of(step).values())


def test_images_on_the_device_and_on_the_host_give_the_same_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_threestage.training import crops

    on_device = make(EVERYTHING, device="cuda")
    monkeypatch.setattr(crops, "_free", lambda device: 0)
    on_host = make(EVERYTHING, device="cuda")
    assert isinstance(on_device._planes, DevicePlanes)
    assert isinstance(on_host._planes, HostPlanes)
    ours, theirs = (losses_of(one.train_step()) for one in (on_device, on_host))
    assert ours == pytest.approx(theirs, rel=1e-3)
    on_host.close()


def test_a_step_on_the_device_is_that_of_the_cpu() -> None:
    ours, theirs = (losses_of(make(EVERYTHING, device=one).train_step()) for one in ("cuda", "cpu"))
    assert ours == pytest.approx(theirs, rel=2e-2, abs=2e-2)


@pytest.mark.parametrize(
    "changes", [{}, {"loss.pseudo": 0.0}, {"augment.adversarial": 0.3, "loss.distance": "soft"}]
)
def test_replayed_passes_learn_what_the_same_passes_do(changes: dict[str, object]) -> None:
    recipe = LIVE | {"precision": "float32"} | changes
    plain, replayed = (
        make(recipe | {"cuda_graphs": graphs}, device="cuda") for graphs in (False, True)
    )
    assert type(plain._passes) is Passes
    assert isinstance(replayed._passes, ReplayedPasses)
    for _ in range(4):
        expected = losses_of(plain.train_step())
        assert losses_of(replayed.train_step()) == pytest.approx(expected, rel=2e-3)
    assert all(graph is not None for graph in replayed._passes._graphs.values())
    theirs = plain.network.state_dict()
    for name, value in replayed.network.state_dict().items():
        torch.testing.assert_close(value, theirs[name], rtol=2e-2, atol=2e-3)


def test_replayed_passes_go_on_from_a_saved_state() -> None:
    expected, other = (make(LIVE | {"precision": "float32"}, device="cuda") for _ in range(2))
    for _ in range(3):
        expected.train_step()
        other.train_step()
    state = copy.deepcopy(expected.state())
    expected.train_step()
    other.load_state(state)
    other.train_step()
    theirs = expected.teacher.network.state_dict()
    for name, value in other.teacher.network.state_dict().items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=1e-4)


def test_a_pass_that_no_graph_can_hold_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_settings: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", refuse)
    plain, tried = (
        make(LIVE | {"cuda_graphs": graphs, "precision": "float32"}, device="cuda")
        for graphs in (False, True)
    )
    expected = losses_of(plain.train_step())
    assert losses_of(tried.train_step()) == pytest.approx(expected, rel=1e-3)

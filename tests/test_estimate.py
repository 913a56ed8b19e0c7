"""How long a run will take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from napari_threestage.config import Config, load_config
from napari_threestage.estimate import EARLIER_RUN, ROUGH_GUESS, estimate_seconds
from napari_threestage.events import Event, StageFinished, StageStarted, Started
from napari_threestage.runs import Run, RunInputs
from napari_threestage.stages import SELF_TRAINING_COST

if TYPE_CHECKING:
    from napari_threestage.project import Project

INPUTS = RunInputs({}, {}, {}, [], None, 1, "auto", 1, 3, 0, "cpu", 1)
STARTED = Started(run="r", device="cpu", stages=[1, 2, 3], labelled=1, unlabelled=1)
QUICK = {"network.backbone": "compact", "network.weights": "none", "stages.steps": [10, 20]}


def config(**changes: Any) -> Config:
    return load_config("quick", QUICK | {key.replace("__", "."): v for key, v in changes.items()})


def add_run(project: Project, config: Config, *events: Event, device: str = "cpu") -> None:
    run = Run.create(project, config, replace(INPUTS, device=device))
    for event in events:
        run.record(event)


def stage(number: int, steps: int, seconds: float) -> list[Event]:
    begun = StageStarted(stage=number, steps=steps)
    return [begun, StageFinished(stage=number, seconds=seconds)]


def test_without_runs_it_is_a_guess_that_grows_with_the_work(small_project: Project) -> None:
    first = estimate_seconds(small_project, config(), (1, 3), "cpu")
    assert first.source == ROUGH_GUESS and first.seconds is not None and first.seconds > 0
    for other in (
        config(stages__steps=[100, 200]),
        config(data__crop=[256, 256]),
        config(network__backbone="resnet101"),
        config(network__zoom=2),
    ):
        longer = estimate_seconds(small_project, other, (1, 3), "cpu").seconds
        assert longer is not None and longer > first.seconds
    one = estimate_seconds(small_project, config(), (1, 1), "cpu").seconds
    assert one is not None and one < first.seconds


@pytest.mark.parametrize("kind", ["cuda", "mps", "anything"])
def test_of_an_unknown_device_nothing_is_said(small_project: Project, kind: str) -> None:
    add_run(small_project, config(), STARTED, *stage(1, 10, 30.0))
    assert estimate_seconds(small_project, config(), (1, 3), kind).seconds is None


def test_an_earlier_run_of_the_same_kind_tells_its_pace(small_project: Project) -> None:
    events = [STARTED, *stage(1, 10, 30.0), *stage(2, 20, 100.0), *stage(3, 20, 80.0)]
    add_run(small_project, config(), *events)
    twice = config(stages__steps=[20, 40, 10])
    found = estimate_seconds(small_project, twice, (1, 4), "cpu")
    assert found.source == EARLIER_RUN
    assert found.seconds == pytest.approx(60 + 200 + 40 + 40)  # the fourth is as the third
    assert estimate_seconds(small_project, twice, (3, 3), "cpu").seconds == pytest.approx(40)
    auto = config(network__backbone="auto", network__weights="auto")
    assert estimate_seconds(small_project, auto, (1, 1), "cpu").seconds == pytest.approx(30)


def test_a_stage_alone_tells_of_the_others(small_project: Project) -> None:
    add_run(small_project, config(), STARTED, *stage(1, 10, 10.0))
    assert estimate_seconds(small_project, config(), (1, 2), "cpu").seconds == pytest.approx(60)
    other = config(data__crop=[32, 32])
    add_run(small_project, other, STARTED, *stage(2, 20, 50.0))
    assert estimate_seconds(small_project, other, (1, 2), "cpu").seconds == pytest.approx(60)


def test_stages_of_a_kind_tell_of_each_other(small_project: Project) -> None:
    late = config(stages__unlabelled_from=3, stages__steps=[10])
    add_run(small_project, late, STARTED, *stage(1, 10, 20.0))
    seconds = [
        estimate_seconds(small_project, late, (number, number), "cpu").seconds
        for number in (1, 2, 3)
    ]
    assert seconds == [20.0, 20.0, 20.0 * SELF_TRAINING_COST]


def test_the_latest_run_counts(small_project: Project) -> None:
    add_run(small_project, config(), STARTED, *stage(1, 10, 10.0))
    add_run(small_project, config(), STARTED, *stage(1, 10, 40.0), device="cpu")
    add_run(small_project, config(), STARTED, *stage(1, 10, 1.0), device="cuda:0")
    assert estimate_seconds(small_project, config(), (1, 1), "cpu").seconds == pytest.approx(40)
    assert estimate_seconds(small_project, config(), (1, 1), "cuda").seconds == pytest.approx(1)


@pytest.mark.parametrize(
    "change",
    [
        {"data__crop": [64, 96]},
        {"data__whole_set_batch": 1},
        {"network__decoder_channels": 8},
        {"stages__unlabelled_from": 1},
        {"augment__views": 2},
        {"augment__adversarial": 0.5},
    ],
)
def test_another_recipe_tells_nothing(small_project: Project, change: dict[str, Any]) -> None:
    add_run(small_project, config(**change), STARTED, *stage(1, 10, 10.0))
    assert estimate_seconds(small_project, config(), (1, 1), "cpu").source == ROUGH_GUESS


@pytest.mark.parametrize(
    "events",
    [
        [STARTED, StageStarted(stage=1, steps=10), STARTED, StageFinished(stage=1, seconds=1.0)],
        [STARTED, StageStarted(stage=1, steps=10, step=9), StageFinished(stage=1, seconds=1.0)],
        [STARTED, StageStarted(stage=1, steps=10)],
    ],
    ids=["masks alone", "from a checkpoint", "unfinished"],
)
def test_a_stage_that_was_not_made_in_one_go_tells_nothing(
    small_project: Project, events: list[Event]
) -> None:
    add_run(small_project, config(), *events)
    assert estimate_seconds(small_project, config(), (1, 1), "cpu").source == ROUGH_GUESS

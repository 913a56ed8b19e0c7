"""A run as its events add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_threestage.config import load_config
from napari_threestage.events import (
    Continued,
    Event,
    Failed,
    Finished,
    Paused,
    Predicted,
    Progress,
    Sampled,
    StageFinished,
    StageStarted,
    Started,
    StoppedEvent,
    Validated,
    Warned,
)
from napari_threestage.run_view import MOST_POINTS, MOST_SAMPLES, RunView, about
from napari_threestage.runs import Run, RunInputs

if TYPE_CHECKING:
    from napari_threestage.project import Project

STARTED = Started(run="r", device="cpu", stages=[1, 2, 3], labelled=1, unlabelled=3)


def progress(stage: int, step: int, steps: int, eta: float = 60.0, loss: float = 1.0) -> Progress:
    return Progress(
        stage=stage,
        step=step,
        steps=steps,
        losses={"total": loss},
        images_per_second=3.2,
        eta=eta,
        memory=100 + step,
    )


def sampled(stage: int, step: int) -> Sampled:
    return Sampled(stage=stage, step=step, on="labelled", miou=0.5, iou={}, windows=[])


def whole_stage(number: int, eta: float, clock: float) -> list[Event]:
    """All events of a stage of 10 steps and 4 images, 2 s an image."""
    return [
        StageStarted(stage=number, steps=10),
        progress(number, 5, 10, eta + 10),
        progress(number, 10, 10, eta),
        *(
            Predicted(stage=number, image=f"i{done}", done=done, total=4, time=clock + 2 * done)
            for done in range(1, 5)
        ),
        Validated(stage=number, on="labelled", miou=0.1 * number, iou={}, accuracy=0.5),
        StageFinished(stage=number, seconds=20.0 + number),
    ]


def seen(*events: Event, view: RunView | None = None) -> RunView:
    view = view or RunView()
    for event in events:
        view.add(event)
    return view


def test_nothing_is_a_beginning() -> None:
    view = RunView()
    assert (view.state, view.fraction, view.eta, view.stages) == ("starting", 0.0, None, [])
    assert view.sentence == "Starting …"


def test_a_whole_run_goes_through_its_phases_and_only_forwards() -> None:
    view = seen(STARTED, Warned(message="slow"), Warned(message="slow"))
    assert [stage.phase for stage in view.stages] == ["waiting"] * 3
    phases, fractions = [], [view.fraction]
    for number in (1, 2, 3):
        for event in whole_stage(number, 0.0, 0.0):
            view.add(event)
            phases.append(view.stages[number - 1].phase)
            fractions.append(view.fraction)
    assert list(dict.fromkeys(phases)) == ["training", "predicting", "scoring", "finished"]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1.0)
    view.add(Finished(run="r", seconds=250.0))
    assert (view.state, view.fraction, view.eta) == ("finished", 1.0, None)
    assert view.sentence == "Finished in about 4 min"
    assert (view.run, view.device, view.warnings) == ("r", "cpu", ["slow"])
    second = view.stages[1]
    assert second.losses == {"total": ([5, 10], [1.0, 1.0])}
    assert second.speed == ([5, 10], [3.2, 3.2])
    assert second.scores["labelled"].miou == pytest.approx(0.2)
    assert (second.seconds, second.memory, second.predicted, second.total) == (22.0, 110, 4, 4)


def test_the_sentence_says_stage_step_speed_and_time() -> None:
    view = seen(STARTED, StageStarted(stage=2, steps=400), progress(2, 120, 400, eta=240.0))
    assert view.sentence == "Stage 2 of 3: step 120 of 400, 3.2 images/s, about 4 min left"
    view.add(progress(2, 400, 400, eta=0.0))
    assert view.place == "Stage 2 of 3: writing pseudo-masks"
    view.add(Predicted(stage=2, image="a", done=1, total=4))
    assert view.sentence.startswith("Stage 2 of 3: pseudo-mask 1 of 4")


def test_predictions_still_to_come_count_once_their_speed_is_known() -> None:
    view = seen(STARTED, StageStarted(stage=1, steps=10), progress(1, 5, 10, eta=100.0))
    assert view.eta == 100.0
    view = seen(STARTED, *whole_stage(1, eta=50.0, clock=7.0))
    assert view.eta == pytest.approx(50.0 + 2 * 4 * 2.0)  # 4 images in each of two stages
    view.add(StageStarted(stage=2, steps=10))
    view.add(progress(2, 10, 10, eta=25.0))
    view.add(Predicted(stage=2, image="a", done=1, total=4, time=1000.0))
    assert view.eta == pytest.approx(25.0 + (3 + 4) * 2.0)


def test_a_pause_is_a_state_and_does_not_slow_the_predictions() -> None:
    view = seen(STARTED, *whole_stage(1, eta=50.0, clock=0.0)[:5])
    place = {"stage": 1, "step": 10}
    view.add(Paused(**place))
    assert view.state == "paused"
    assert view.sentence == "Paused in stage 1 of 3: pseudo-mask 2 of 4"
    view.add(Continued(**place))
    assert view.state == "running"
    view.add(Predicted(stage=1, image="c", done=3, total=4, time=9000.0))
    assert view.eta == pytest.approx(50.0 + 9 * 2.0)


def test_a_resumed_run_goes_on_with_its_curves_from_the_checkpoint() -> None:
    first = [progress(2, step, 10, loss=step) for step in range(1, 8)]
    view = seen(STARTED, StageStarted(stage=2, steps=10), *first, sampled(2, 0), sampled(2, 6))
    view.add(StoppedEvent(run="r", stage=2, step=7))
    assert view.sentence == "Stopped in stage 2 of 3: step 7 of 10" and view.eta is None
    again = Started(run="r", device="cuda", stages=[1, 2, 3], labelled=1, unlabelled=3)
    seen(again, StageStarted(stage=2, steps=10, step=4), progress(2, 5, 10, loss=-5.0), view=view)
    assert view.stages[1].losses["total"] == ([1, 2, 3, 4, 5], [1, 2, 3, 4, -5.0])
    assert [one.step for one in view.stages[1].samples] == [0]
    assert (view.state, view.device, len(view.stages)) == ("running", "cuda", 3)


def test_a_failure_is_told_until_the_run_goes_on() -> None:
    failed = Failed(error="OSError", message="The disk is full.", hint="Free some.")
    view = seen(STARTED, failed)
    assert (view.state, view.failure) == ("failed", failed)
    assert view.sentence == "The disk is full. Free some."
    view.add(STARTED)
    assert (view.state, view.failure) == ("running", None)


def test_long_curves_are_thinned_evenly_and_keep_both_ends() -> None:
    view = seen(STARTED)
    last = 40_000
    for step in range(1, last + 1):
        view.add(progress(1, step, last, loss=step))
        if step % 20 == 0:
            view.add(sampled(1, step))
    steps, values = view.stages[0].losses["total"]
    assert MOST_POINTS / 3 < len(steps) <= MOST_POINTS
    assert steps == values and steps == view.stages[0].speed[0]
    assert (steps[0], steps[-1]) == (1, last)
    early = sum(step <= last / 2 for step in steps)
    assert len(steps) / 4 < early < len(steps) * 3 / 4
    assert MOST_SAMPLES / 3 < len(view.stages[0].samples) <= MOST_SAMPLES


def test_the_steps_of_a_run_are_known_before_its_stages_begin(small_project: Project) -> None:
    inputs = RunInputs({}, {}, {}, [], None, 1, "auto", 1, 3, 0, "cpu", 1)
    config = load_config("quick", {"stages.steps": [100, 10]})
    view = RunView.of(Run.create(small_project, config, inputs))
    seen(STARTED, StageStarted(stage=1, steps=100), progress(1, 100, 100), view=view)
    assert [stage.steps for stage in view.stages] == [100, 10, 10]
    assert view.fraction == pytest.approx(0.9 * 100 / (100 + 2 * 25))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "about 1 s"), (59, "about 59 s"), (240, "about 4 min"), (7300, "about 2 h 02 min")],
)
def test_times_are_said_roughly(seconds: float, text: str) -> None:
    assert about(seconds) == text

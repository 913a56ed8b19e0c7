"""Windows of a few images that are predicted while a stage is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from frozen_run import make_run

from napari_threestage.config import Config, load_config
from napari_threestage.events import Event, Sampled, Warned
from napari_threestage.project import GROUND_TRUTH
from napari_threestage.stages import stage_table
from napari_threestage.training.data import SampleSet, frozen_truth, present_truth
from napari_threestage.training.live import LiveSamples
from napari_threestage.training.loop import StageTrainer
from napari_threestage.training.multitask import TwoBranchNetwork
from napari_threestage.training.networks import build_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.project import ImageRecord, Project
    from napari_threestage.runs import Run

    AddImage = Callable[..., ImageRecord]

SETTINGS = {
    "data.crop": [32, 32],
    "network.backbone": "compact",
    "network.weights": "none",
    "teacher.in_stage_1": False,
    "live.window": 32,
}


def small(**changes: Any) -> Config:
    return load_config("quick", SETTINGS | {f"live.{name}": v for name, v in changes.items()})


def make_trainer(project: Project, run: Run) -> StageTrainer:
    torch.manual_seed(0)
    network = TwoBranchNetwork(build_network(run.config.network, 1, 2))
    samples = SampleSet(project, run).samples
    (spec,) = stage_table(run.config, 1)
    return StageTrainer(spec, run.config, samples, network, torch.device("cpu"), 0)


def dots(shape: tuple[int, ...], *places: tuple[int, ...]) -> np.ndarray:
    """Return ground truth with a few labelled pixels."""
    truth = np.zeros(shape, np.uint8)
    for number, place in enumerate(places):
        truth[place] = number % 2 + 1
    return truth


def look(project: Project, config: Config) -> list[Event]:
    """Return what one look at a new network tells."""
    seen: list[Event] = []
    run = make_run(project, config)
    LiveSamples(project, run, seen.append).look(make_trainer(project, run))
    return seen


def windows(events: list[Event]) -> list[dict[str, Any]]:
    (event,) = events
    assert isinstance(event, Sampled)
    return event.windows


def test_a_window_lies_on_the_labels_and_within_the_image(
    small_project: Project, add_image: AddImage
) -> None:
    corner = add_image("corner", dots((64, 64), (62, 3), (63, 5)))
    middle = add_image("plain")
    low = add_image("low", shape=(1, 20, 64))
    found = {one["image"]: one for one in windows(look(small_project, small()))}
    size = {"height": 32, "width": 32, "plane": []}
    assert found[corner.id] == {"image": corner.id, "y": 32, "x": 0, **size}
    assert found[middle.id] == {"image": middle.id, "y": 16, "x": 16, **size}
    assert (found[low.id]["height"], found[low.id]["y"]) == (20, 0)


def test_scribbles_far_apart_are_not_missed(small_project: Project, add_image: AddImage) -> None:
    truth = dots((300, 300), (2, 2), (2, 297), (297, 2), (297, 297), (298, 298))
    add_image("apart", truth, shape=(1, 300, 300))
    add_image("plain")
    (one, _) = windows(look(small_project, small()))
    part = truth[one["y"] : one["y"] + 32, one["x"] : one["x"] + 32]
    assert part.any()


def test_of_a_stack_the_middle_plane_is_shown_or_the_labelled_one_next_to_it(
    small_project: Project, add_image: AddImage
) -> None:
    stack = {"shape": (2, 1, 5, 40, 40), "axes": "tczyx"}
    labelled = add_image("stack", dots((2, 5, 40, 40), (0, 1, 5, 5), (1, 3, 5, 5)), **stack)
    plain = add_image("plain", **stack)
    planes = {one["image"]: one["plane"] for one in windows(look(small_project, small()))}
    assert planes == {labelled.id: [1, 3], plain.id: [1, 2]}


@pytest.mark.parametrize(
    ("count", "validation", "names"),
    [
        (4, False, ["a", "b", "d", "e"]),
        (3, False, ["a", "b", "d"]),
        (1, False, ["a"]),
        (9, False, ["a", "b", "c", "d", "e"]),
        (4, True, ["v", "d", "e"]),
    ],
)
def test_judged_images_come_first(
    count: int, validation: bool, names: list[str], small_project: Project, add_image: AddImage
) -> None:
    truth = dots((64, 64), (5, 5), (9, 9))
    for name in "abc":
        add_image(name, truth)
    for name in "de":
        add_image(name)
    if validation:
        add_image("u", split="validation")
        add_image("v", truth, split="validation")
    events = look(small_project, small(images=count))
    found = [small_project.images[one["image"]].name for one in windows(events)]
    assert found == names
    (event,) = events
    assert isinstance(event, Sampled)
    assert event.on == ("validation" if validation else "labelled")
    assert event.miou is not None and set(event.iou) == {"background", "nucleus"}


def test_none_are_looked_at_where_none_are_wanted(
    small_project: Project, add_image: AddImage
) -> None:
    add_image("a", dots((64, 64), (5, 5)))
    assert look(small_project, small(images=0)) == []


def test_an_image_that_cannot_be_read_is_a_warning(
    small_project: Project, add_image: AddImage
) -> None:
    add_image("a", dots((64, 64), (5, 5)))
    bad = add_image("v", dots((64, 64), (5, 5)), split="validation", shape=(2, 64, 64))
    seen: list[Event] = []
    run = make_run(small_project, small())
    assert small_project.images[bad.id].channels == 2
    live = LiveSamples(small_project, run, seen.append)
    (warning,) = seen
    assert isinstance(warning, Warned) and "no samples" in warning.message
    live.look(make_trainer(small_project, run))
    assert len(seen) == 1


def test_looking_leaves_training_as_it_is(small_project: Project, add_image: AddImage) -> None:
    add_image("a", dots((64, 64), (5, 5), (30, 30), (50, 20)))
    add_image("b")
    run = make_run(small_project, small(every_seconds=1e-9))
    trainers = [make_trainer(small_project, run) for _ in range(2)]
    live = LiveSamples(small_project, run, lambda event: None)
    modes = [part.training for part in trainers[0].network.modules()]
    assert any(modes)
    for _ in range(3):
        live.look(trainers[0])
        random = torch.get_rng_state()
        live.look(trainers[0])
        assert torch.equal(torch.get_rng_state(), random)
        losses = [trainer.train_step() for trainer in trainers]
        assert float(losses[0]["total"]) == float(losses[1]["total"])
    assert [part.training for part in trainers[0].network.modules()] == modes
    for name, value in trainers[0].network.state_dict().items():
        assert torch.equal(trainers[1].network.state_dict()[name], value), name


# --- labels and classes -----------------------------------------------------------------------


def test_a_run_keeps_the_labels_it_was_made_with(
    small_project: Project, add_image: AddImage
) -> None:
    truth = dots((64, 64), (5, 5), (30, 30))
    record = add_image("a", truth)
    run = make_run(small_project, small())
    small_project.write_ground_truth(record.id, 3 - np.maximum(truth, 1), "painted")
    frozen = frozen_truth(small_project, run, record.id)
    assert frozen is not None
    np.testing.assert_array_equal(frozen, truth)


def test_what_is_labelled_now_is_seen_in_the_classes_of_the_run(
    small_project: Project, add_image: AddImage
) -> None:
    truth = dots((64, 64), (5, 5), (30, 30))
    record = add_image("a", truth)
    run = make_run(small_project, small())
    small_project.set_class_table(small_project.class_table.add("dust").move(2, 0))
    now = small_project.read_labels(record.id, GROUND_TRUTH)
    assert now is not None and (now[5, 5], now[30, 30]) == (2, 1)
    now = now.copy()
    now[40, 40] = 3  # a class that the run does not know
    small_project.write_ground_truth(record.id, now, "painted")
    seen = present_truth(small_project, run, record.id)
    assert seen is not None
    np.testing.assert_array_equal(seen, truth)
    old = [{"name": entry["name"], "color": entry["color"]} for entry in run.inputs.classes]
    run.inputs = replace(run.inputs, classes=old)  # of a version without ids
    np.testing.assert_array_equal(present_truth(small_project, run, record.id), truth)

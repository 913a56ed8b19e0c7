"""Writing the masks of a stage: order, stopping, going on, what is left after an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from frozen_run import make_run

from napari_threestage.config import load_config
from napari_threestage.errors import Stopped
from napari_threestage.events import Predicted
from napari_threestage.stages import stage_table
from napari_threestage.training import masks
from napari_threestage.training.masks import MaskWriter
from napari_threestage.training.witness import Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.events import Event
    from napari_threestage.project import ImageRecord, Project
    from napari_threestage.runs import Run
    from napari_threestage.store import ImageArray
    from napari_threestage.training.witness import Witness

    AddImage = Callable[..., ImageRecord]

CONFIG = load_config("quick")
(SPEC,) = stage_table(CONFIG, 1)


class Brightness:
    """A witness of class 2 where an image is bright."""

    def __init__(self) -> None:
        self.calls = 0

    def look(self, image: ImageArray, obey: Callable[[], None] = lambda: None) -> Seen:
        obey()
        self.calls += 1
        return Seen(mask_of(image), np.asarray(image.data[0]))


def mask_of(image: ImageArray) -> np.ndarray:
    mask: np.ndarray = (np.asarray(image.data[0]) > 99).astype(np.uint8) + np.uint8(1)
    return mask


@pytest.fixture
def run(small_project: Project, add_image: AddImage) -> Run:
    for number in range(6):
        add_image(f"image {number}", np.full((64, 64), 2, np.uint8) if number == 3 else None)
    return make_run(small_project, CONFIG)


def write(
    project: Project, run: Run, segmenter: Any, obey: Callable[[], None] = lambda: None
) -> tuple[list[Event], Any]:
    events: list[Event] = []
    writer = MaskWriter(project, run, events.append, obey)
    return events, writer.write_masks(SPEC, cast("Witness", segmenter))


def assert_complete(project: Project, run: Run, image_id: str) -> None:
    image = project.read_image(image_id)
    np.testing.assert_array_equal(run.read_mask(1, image_id), mask_of(image))
    np.testing.assert_array_equal(run.read_confidence(1, image_id), image.data[0])
    np.testing.assert_array_equal(project.read_labels(image_id, SPEC.name), mask_of(image))
    attributes = project.label_attributes(image_id, SPEC.name)
    assert attributes is not None and attributes["run"] == run.id and attributes["stage"] == 1


@pytest.mark.parametrize("waiting", [0, masks.WAITING])
def test_every_image_has_its_mask_when_its_event_comes(
    small_project: Project, run: Run, waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "WAITING", waiting)
    told = []

    def emit(event: Event) -> None:
        assert isinstance(event, Predicted)
        assert_complete(small_project, run, event.image)
        told.append((event.image, event.done, event.total))

    writer = MaskWriter(small_project, run, emit, lambda: None)
    scores = writer.write_masks(SPEC, cast("Witness", Brightness()))
    ids = sorted(small_project.images)
    assert told == [(image_id, number, 6) for number, image_id in enumerate(ids, 1)]
    labelled = next(iter(run.inputs.labels))
    assert scores["labelled"].accuracy == pytest.approx((run.read_mask(1, labelled) == 2).mean())


def test_a_stop_leaves_complete_masks_and_the_next_call_does_the_rest(
    small_project: Project, run: Run
) -> None:
    asked = 0

    def obey() -> None:
        nonlocal asked
        asked += 1
        if asked > 6:  # twice an image: before it and before its plane
            raise Stopped

    first, second = Brightness(), Brightness()
    with pytest.raises(Stopped):
        write(small_project, run, first, obey)
    ids = sorted(small_project.images)
    assert [run.has_mask(1, image_id) for image_id in ids] == [True] * 3 + [False] * 3
    for image_id in ids[:3]:
        assert_complete(small_project, run, image_id)
    events, _ = write(small_project, run, second)
    assert (first.calls, second.calls, len(events)) == (3, 3, 6)
    for image_id in ids:
        assert_complete(small_project, run, image_id)


def test_a_mask_that_cannot_be_written_is_an_error_and_has_no_event(
    small_project: Project, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, write_mask, told = sorted(small_project.images), run.write_mask, []

    def full(stage: int, image_id: str, *arguments: Any) -> None:
        if image_id == ids[2]:
            raise OSError(28, "No space left on device")
        write_mask(stage, image_id, *arguments)

    monkeypatch.setattr(run, "write_mask", full)
    writer = MaskWriter(small_project, run, told.append, lambda: None)
    with pytest.raises(OSError, match="No space"):
        writer.write_masks(SPEC, cast("Witness", Brightness()))
    assert [event.image for event in told if isinstance(event, Predicted)] == ids[:2]
    assert not run.has_mask(1, ids[2])
    assert small_project.read_labels(ids[2], SPEC.name) is None


def test_no_more_masks_wait_than_may(
    small_project: Project, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter, written = Brightness(), 0
    monkeypatch.setattr(masks, "WAITING", 2 * 64 * 64)
    monkeypatch.setattr(masks, "WRITERS", 9)

    def emit(event: Event) -> None:
        nonlocal written
        written += 1
        assert segmenter.calls - written <= 2

    MaskWriter(small_project, run, emit, lambda: None).write_masks(SPEC, cast("Witness", segmenter))
    assert written == 6

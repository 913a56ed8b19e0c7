"""What to label next and which labels to check, beside the list of images."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari_helpers import make_project
from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QLabel, QPushButton, QTabBar
from suspect_helpers import confidence, made_up_run

from napari_threestage import image_statistics, label_queue
from napari_threestage.compare.places import Place
from napari_threestage.label_suspects import find_suspects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_threestage.project import Project
    from napari_threestage.runs import Run

pytestmark = pytest.mark.gui
SECONDS = 60_000
PLACE = Place((), (8, 40), (16, 48))


class Bench(QObject):
    """What the lists need of the workbench; it notes where it is told to go."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session, self.viewer, self.jump, self.went = session, ViewerModel(), self, []

    def to(self, image_id: str, place: Place) -> None:
        self.went.append((image_id, place))
        self.session.show(image_id)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


@pytest.fixture
def bench(qapp: Any, project: Project) -> Iterator[Bench]:
    from data_helpers import new_session

    session = new_session(project.path)
    yield Bench(session)
    session.close()


@pytest.fixture
def show(qtbot: Any, bench: Bench) -> Callable[[type], Any]:
    """Show one of the two lists."""
    from napari_threestage.widgets.command_box import Turns
    from napari_threestage.widgets.thumbnail_loader import ThumbnailLoader

    shown = []  # a widget that nobody holds could be collected while it is painted

    def show(kind: type) -> Any:
        widget = kind(bench, ThumbnailLoader(bench.session, bench), Turns(bench))
        shown.append(widget)
        qtbot.addWidget(widget)
        widget.resize(330, 300)
        with qtbot.waitExposed(widget):
            widget.show()
        return widget

    return show


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Put a program in the place of the command that prints a document, and notes its arguments."""

    def put(document: Any, more: str = "") -> Path:
        path = tmp_path / "program"
        (tmp_path / "document").write_text(json.dumps(document))
        script = f'#!/bin/sh\necho "$@" >> "$0.called"\n{more}\ncat "{tmp_path / "document"}"\n'
        path.write_text(script)
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))
        return path.with_suffix(".called")

    return put


def queue(project: Project, *images: str) -> dict[str, Any]:
    entries = [
        {"rank": rank, "image": one, "name": f"name {rank}", "reason": "why", "place": place}
        for rank, (one, place) in enumerate(((one, PLACE.to_dict()) for one in images), 1)
    ]
    return {"images": entries, "ranked": 7, "left_out": [], "left_out_count": 0}


def finished_run(project: Project, stages: int = 3) -> Run:
    """A run whose stages find the labelled image's cell larger than it is painted."""
    first, *_ = project.images
    truth = project.read_labels(first)
    assert truth is not None
    found = truth.copy()
    found[50:60, 40:60] = 2
    masks = {first: ([found] * 3, [confidence(found, 0.95)] * 3)}
    run = made_up_run(project, masks, stages)
    for stage in range(1, stages + 1):
        known = []
        for number, image in enumerate(project.images):
            sure = np.full((64, 64), 250 - 40 * number, np.uint8)
            known.append(image_statistics.describe(image, found, sure, {}, 2))
        image_statistics.append(run.stage_path(stage) / "images.jsonl", known)
    return run


def click(qtbot: Any, view: Any, row: int) -> None:
    place = view.visualRect(view.model().index(row)).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)


def said(widget: Any, name: str) -> str:
    return str(widget.findChild(QLabel, name).text())


def test_the_queue_is_searched_unasked_and_leads_to_what_is_not_labelled_yet(
    bench: Bench, project: Project, show: Any, answer: Any, qtbot: Any
) -> None:
    from data_helpers import paint

    from napari_threestage.widgets.label_next import LabelNext

    _, second, third, fourth = project.images
    called = answer(queue(project, second, third, fourth, "gone"))
    run = finished_run(project)
    bench.session.runs.find()
    widget = show(LabelNext)
    qtbot.waitUntil(lambda: len(widget.view.places.entries) == 3)
    arguments = f"rank --top 50 {project.path} --run {run.id} --json"
    assert called.read_text().split(maxsplit=2)[-1].strip() == arguments
    assert said(widget, "label_next_state") == "3 of 7 images without labels."
    click(qtbot, widget.view, 0)
    assert bench.went == [(second, PLACE)]
    widget.step(1)
    assert bench.went[-1] == (third, PLACE) and widget.view.row == 1

    paint(bench.session, (slice(0, 4), slice(0, 4)), 1)
    assert [bool(entry.done) for entry in widget.view.places.entries] == [False, True, False]
    assert said(widget, "label_next_state") == "3 of 7 images without labels, 1 done."
    widget.view.go(0)
    widget.step(1)
    assert bench.went[-1] == (fourth, PLACE)
    paint(bench.session, (slice(0, 4), slice(0, 4)), 1)
    paint(bench.session, (slice(0, 4), slice(0, 4)), 0)  # and taken back
    assert widget.view.places.waiting == 2
    heard: list[str] = []
    bench.session.said.connect(lambda level, text, hint: heard.append(text))
    widget.step(1)
    assert heard == ["That was the last of the list; 1 before it still wait."]

    made_up_run(project, {}, 1)
    bench.session.runs.find()
    qtbot.waitUntil(lambda: "You look at another run now" in said(widget, "label_next_state"))
    assert len(called.read_text().splitlines()) == 1  # it never searches over what is listed


def test_every_state_without_a_list_has_a_sentence(
    bench: Bench, project: Project, show: Any, answer: Any, qtbot: Any
) -> None:
    from napari_threestage.widgets.label_next import LabelNext
    from napari_threestage.widgets.suspects_box import SuspectsBox

    answer(queue(project))
    ranked, checked = show(LabelNext), show(SuspectsBox)
    for widget, name in ((ranked, "label_next"), (checked, "suspects")):
        assert said(widget, f"{name}_why_not") == "No run yet: start one in Train."
    run = made_up_run(project, {}, 0)
    bench.session.runs.find()
    assert "No stage of this run is finished" in said(checked, "suspects_why_not")
    run.stage_path(1).mkdir()
    (run.stage_path(1) / "metrics.json").write_text("{}")
    bench.session.runs.masks_arrived.emit(1)
    qtbot.waitUntil(lambda: "Every image of this run" in said(ranked, "label_next_empty"))

    nothing = {"regions": [], "suspected": 0, "dismissed": 2, "stages": [1], "left_out_count": 0}
    answer(nothing)
    checked.start()
    qtbot.waitUntil(lambda: "contradict no label" in said(checked, "suspects_empty"))
    assert "2 more you said are right" in said(checked, "suspects_state")
    answer({}, "echo 'error: No image has labels yet.' >&2; exit 1")
    checked.start()
    qtbot.waitUntil(lambda: checked.box.banner.isVisible())
    assert checked.box.banner.text == "No image has labels yet."
    bench.session.close()
    assert not checked.box.banner.isVisible() and checked.view.places.entries == []


def test_the_commands_fill_the_lists(bench: Bench, project: Project, show: Any, qtbot: Any) -> None:
    from napari_threestage.widgets.label_next import LabelNext
    from napari_threestage.widgets.suspects_box import SuspectsBox

    finished_run(project)
    bench.session.runs.find()
    ranked = show(LabelNext)
    qtbot.waitUntil(lambda: bool(ranked.view.places.entries), timeout=SECONDS)
    labelled, *others = project.images
    assert sorted(entry.image for entry in ranked.view.places.entries) == sorted(others)
    checked = show(SuspectsBox)
    checked.start()
    qtbot.waitUntil(lambda: bool(checked.view.places.entries), timeout=SECONDS)
    assert [entry.image for entry in checked.view.places.entries] == [labelled]


def test_the_key_leads_from_one_image_to_label_to_the_next(
    person: Any, project: Project, answer: Any
) -> None:
    run = finished_run(project)
    answer(label_queue.rank(project, run).to_dict())
    person.open(project.path)
    person.dock.open_tab("Label")
    person.key(Qt.Key.Key_J)  # opens the list
    assert person.find("label_lists", QTabBar).currentIndex() == 1
    view = person.find("label_next_list")
    person.wait(lambda: view.places.entries)
    ranked = [entry.image for entry in view.places.entries]
    person.key(Qt.Key.Key_J)
    person.wait_for_image(ranked[0])
    middle = person.on_canvas(*view.places.entries[0].place.center)
    assert abs(middle.x() - person.canvas.width() / 2) <= 1
    person.key(Qt.Key.Key_J)
    person.wait_for_image(ranked[1])
    assert view.row == 1


def test_a_suspect_is_taken_over_and_given_back(person: Any, project: Project, answer: Any) -> None:
    run = finished_run(project)
    answer(find_suspects(project, run).to_dict(project))
    person.open(project.path)
    person.dock.open_tab("Label")
    person.find("label_lists", QTabBar).setCurrentIndex(2)
    person.wait(lambda: person.find("suspects_start").isEnabled())
    person.click("suspects_start")
    view = person.find("suspects_list")
    person.wait(lambda: view.places.entries)
    [entry] = view.places.entries
    click(person.qtbot, view, 0)
    take_over = person.find("suspects_take_over")
    person.wait(take_over.isEnabled)
    assert take_over.text() == "Take over “cell”"

    truth = person.session.content.editor.truth
    before, expected = truth.copy(), truth.copy()
    person.click("suspects_take_over")
    person.wait(lambda: entry.done)
    expected[50:60, 40:60] = 2
    assert (truth == expected).all() and not take_over.isEnabled()
    origin, names = person.session.content.editor.origin, person.session.content.editor.names
    assert {names[one - 1] for one in origin[before != truth]} == {f"stage-3 of run {run.id}"}
    person.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    person.wait(lambda: not entry.done)
    assert (truth == before).all()


def test_a_label_that_is_right_is_noted_and_waits_again_where_that_fails(
    bench: Bench, project: Project, show: Any, answer: Any, qtbot: Any
) -> None:
    from napari_threestage.widgets.suspects_box import SuspectsBox

    first, second, *_ = project.images
    keys = [f"{image}:1-2::10-20:10-20" for image in (first, second)]
    regions = [
        {"image": key.split(":")[0], "name": "n", "sentence": "s", "key": key, "pixels": 100}
        | {"place": PLACE.to_dict()}
        for key in keys
    ]
    answer(
        {"regions": regions, "suspected": 2, "dismissed": 0, "stages": [1, 2], "left_out_count": 0}
    )
    finished_run(project)
    bench.session.runs.find()
    widget = show(SuspectsBox)
    widget.start()
    qtbot.waitUntil(lambda: len(widget.view.places.entries) == 2)
    assert said(widget, "suspects_state") == "2 labels to check."
    right = widget.findChild(QPushButton, "suspects_right")
    assert not right.isEnabled()
    click(qtbot, widget.view, 1)
    file = project.path / "label_checks.json"
    for noted in ([keys[1]], []):
        qtbot.mouseClick(right, Qt.MouseButton.LeftButton)
        assert list(json.loads(file.read_text())) == noted
    assert widget.view.places.waiting == 2

    file.write_text("[]")
    heard: list[str] = []
    bench.session.said.connect(lambda level, text, hint: heard.append(text))
    qtbot.mouseClick(right, Qt.MouseButton.LeftButton)
    assert "label_checks.json cannot be read" in heard[0]
    assert widget.view.places.waiting == 2


def test_a_search_ends_with_its_dock(person: Any, project: Project, answer: Any) -> None:
    finished_run(project)
    called = answer({}, more="exec sleep 600")
    person.open(project.path)
    person.dock.open_tab("Label")
    person.find("label_lists", QTabBar).setCurrentIndex(2)
    person.wait(lambda: person.find("suspects_start").isEnabled())
    person.click("suspects_start")
    person.wait(called.exists)
    box = person.find("suspects_start").parent()
    assert box.busy
    person.viewer.window.remove_dock_widget(person.dock)
    assert not box.busy

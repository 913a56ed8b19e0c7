"""The numbers of Compare: asked of the command, shown, sorted, copied, saved, and out of date."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from data_helpers import at_once, make_project, paint
from napari.components import ViewerModel
from qtpy.QtCore import QObject, QPoint, QPointF, Qt
from qtpy.QtGui import QImage, QWheelEvent
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QFileDialog,
    QLabel,
    QPushButton,
    QTabBar,
    QWidget,
)
from results_documents import alarm, budget, comparison
from run_helpers import make_run

from napari_threestage.compare.places import Place
from napari_threestage.widgets.controls import Banner, column, scrolled
from napari_threestage.widgets.layers import ProjectLayers
from napari_threestage.widgets.results_plots import Picture
from napari_threestage.widgets.results_table import ResultsTable
from napari_threestage.widgets.results_view import LABELS_CHANGED, STAGES_CHANGED, ResultsView
from napari_threestage.widgets.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_threestage.project import Project
    from napari_threestage.runs import Run

pytestmark = pytest.mark.gui
SECONDS = 30_000
LEFT = Qt.MouseButton.LeftButton


class Bench(QObject):
    """As much of a workbench as the view needs; its background works at once."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = ProjectLayers(ViewerModel())
        self.session = Session(at_once)
        self.session.image_shown.connect(self._show)
        self.session.masks_read.connect(self.layers.show_masks)
        self.jumps: list[tuple[str, Place | None]] = []
        self.said: list[str] = []
        self.session.said.connect(lambda level, text, hint: self.said.append(f"{text} {hint}"))
        self.jump = self

    def _show(self, content: Any) -> None:
        if content is not None and self.session.project is not None:
            self.layers.show(content, self.session.project.classes, editable=True)

    def to(self, image_id: str, place: Place | None) -> None:
        self.jumps.append((image_id, place))


class Program:
    """Stands in for the commands `compare` and `budget`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.answer("compare", comparison())
        self.answer("budget", budget())

    def answer(self, command: str, document: dict[str, Any]) -> None:
        (self._folder / f"{command}.json").write_text(json.dumps(document))

    def fail(self, sentence: str) -> None:
        (self._folder / "error").write_text(sentence)

    def work(self) -> None:
        (self._folder / "error").unlink()

    def wait(self) -> None:
        (self._folder / "wait").touch()

    def go_on(self) -> None:
        (self._folder / "wait").unlink()

    @property
    def typed(self) -> list[str]:
        try:
            return (self._folder / "typed").read_text().splitlines()
        except FileNotFoundError:
            return []


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    folder = tmp_path / "stand-in"
    folder.mkdir()
    path = folder / "python"
    path.write_text(
        f"""#!/bin/sh
shift 2
echo "$@" >> {folder}/typed
while [ -e {folder}/wait ]; do sleep 0.02; done
if [ -e {folder}/error ]; then echo "error: $(cat {folder}/error)" >&2; exit 1; fi
cat {folder}/$1.json
"""
    )
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    return Program(folder)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


@pytest.fixture
def bench(qtbot: Any, project: Project) -> Iterator[Bench]:
    bench = Bench()
    assert bench.session.open(project.path)
    yield bench
    assert bench.session.close()


def finish(run: Run, *stages: int) -> Run:
    for stage in stages:
        run.stage_path(stage).mkdir(exist_ok=True)
        (run.stage_path(stage) / "metrics.json").write_text("{}")
    return run


def trained(project: Project, bench: Bench, *stages: int) -> Run:
    """A run with masks and finished stages, looked at."""
    run = make_run(project)
    for stage in stages:
        for image_id in project.images:
            mask = np.full((64, 64), 1 + stage % 2, np.uint8)
            mask[: 16 * stage] = 2
            run.write_mask(stage, image_id, mask, np.full((64, 64), 200, np.uint8), "yx")
    bench.session.runs.follow(finish(run, *stages))
    return run


def turn_wheel(target: QWidget, turn: QPoint) -> bool:
    """Turn the mouse wheel by a notch; return whether that widget takes it for itself."""
    place = QPointF(target.rect().center())
    event = QWheelEvent(
        place,
        target.mapToGlobal(place),
        turn,
        turn,
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(target, event)
    return bool(event.isAccepted())


class Hands:
    """Looks at the view and acts on it."""

    def __init__(self, bench: Bench, qtbot: Any) -> None:
        self.view, self._qtbot = ResultsView(bench), qtbot  # type: ignore[arg-type]
        self.area = scrolled(column(self.view, 1))
        qtbot.addWidget(self.area)
        self.area.resize(380, 700)

    def look(self) -> Hands:
        self.area.show()
        self.wait()
        return self

    def wait(self) -> None:
        self._qtbot.waitUntil(lambda: not self.view.box.busy, timeout=SECONDS)
        QApplication.processEvents()

    def find(self, kind: Any, name: str) -> Any:
        found = self.view.findChild(kind, name)
        assert found is not None, name
        return found

    def sees(self, kind: Any, name: str) -> bool:
        return bool(self.find(kind, name).isVisible())

    def text(self, name: str) -> str:
        return str(self.find(QLabel, name).text())

    def click(self, name: str) -> None:
        self._qtbot.mouseClick(self.find(QPushButton, name), LEFT)
        self.wait()

    def turn_to(self, page: int) -> None:
        tabs = self.find(QTabBar, "results_tabs")
        self._qtbot.mouseClick(tabs, LEFT, pos=tabs.tabRect(page).center())
        QApplication.processEvents()

    def choose(self, name: str, place: int) -> None:
        box = self.find(QComboBox, name)
        box.setCurrentIndex(place)
        box.activated.emit(place)

    def picture(self, name: str = "results_picture") -> Any:
        """The picture, once it is drawn."""
        picture = self.find(Picture, name)
        self._qtbot.waitUntil(lambda: picture.image is not None, timeout=SECONDS)
        return picture

    @property
    def table(self) -> ResultsTable:
        return self.find(ResultsTable, "results_table")  # type: ignore[no-any-return]

    def cells(self, at: int) -> list[str]:
        model = self.table.model()
        return [str(model.index(row, at).data()) for row in range(model.rowCount())]


@pytest.fixture
def hands(bench: Bench, program: Program, qtbot: Any) -> Hands:
    return Hands(bench, qtbot)


def test_each_state_without_numbers_says_why(
    bench: Bench, project: Project, program: Program, hands: Hands
) -> None:
    hands.look()
    assert hands.text("results_empty") == "No run yet: start one in Train."
    trained(project, bench)
    assert hands.text("results_empty").startswith("No stage of this run is finished yet")
    assert not hands.sees(QTabBar, "results_tabs") and program.typed == []
    bench.session.close()
    assert hands.text("results_empty") == "Open a project in Data."


def test_it_asks_when_it_is_looked_at_and_only_then(
    bench: Bench, project: Project, program: Program, hands: Hands
) -> None:
    run = trained(project, bench, 1, 2, 3)
    assert program.typed == []
    hands.look()
    assert program.typed == [f"compare {project.path} --run {run.id} --json --progress"]
    assert hands.text("results_verdict").startswith("Yes: stage 3 is better")
    assert not hands.sees(QLabel, "results_empty")
    assert not hands.sees(QPushButton, "results_start")
    hands.area.hide()
    hands.look()
    assert len(program.typed) == 1


def test_each_page_shows_its_picture_and_table(
    bench: Bench, project: Project, program: Program, hands: Hands
) -> None:
    trained(project, bench, 1, 2, 3)
    hands.look()
    seen: list[QImage] = []
    for page in range(5):
        hands.turn_to(page)
        assert hands.sees(Picture, "results_picture") == (page < 4)
        boxes = ("results_group", "results_column", "results_pair")
        shown = [hands.sees(QComboBox, name) for name in boxes]
        assert shown == [page < 3, page == 1, page == 3]
        if page < 4:
            seen.append(hands.picture().image.toImage())
        assert hands.table.model().columnCount() >= 3
    assert all(one != other for at, one in enumerate(seen) for other in seen[:at])
    hands.turn_to(1)
    hands.choose("results_column", 2)
    assert hands.view.page.page.name == "confusion-validation-1"
    hands.choose("results_group", 1)
    assert hands.view.page.page.name == "confusion-labelled-1"


def test_labels_and_stages_that_are_newer_are_told_and_wait_for_the_person(
    bench: Bench, project: Project, program: Program, hands: Hands
) -> None:
    run = trained(project, bench, 1, 2)
    program.answer("compare", comparison(runs=(run.id,), stages=(1, 2)))
    hands.look()
    bench.session.review(bench.session.image_id, True)  # changes no label
    assert not hands.sees(QLabel, "results_stale")
    painted = project.label_counts(bench.session.image_id)[2] + 16
    paint(bench.session, np.s_[:4, :4], 2)
    assert hands.text("results_stale") == LABELS_CHANGED and hands.sees(QLabel, "results_stale")
    assert len(program.typed) == 1
    hands.click("results_start")
    assert len(program.typed) == 2 and not hands.sees(QLabel, "results_stale")
    assert project.label_counts(bench.session.image_id)[2] == painted  # saved before it asks
    finish(run, 3)
    bench.session.runs.changed.emit()
    assert hands.text("results_stale") == STAGES_CHANGED
    assert hands.sees(QPushButton, "results_start") and len(program.typed) == 2


@pytest.mark.parametrize("what", [LABELS_CHANGED, STAGES_CHANGED, ""])
def test_what_changes_while_the_first_numbers_are_computed_is_told_with_them(
    bench: Bench, project: Project, program: Program, hands: Hands, qtbot: Any, what: str
) -> None:
    run = trained(project, bench, 1, 2)
    program.answer("compare", comparison(runs=(run.id,), stages=(1, 2)))
    program.wait()
    hands.area.show()
    qtbot.waitUntil(lambda: len(program.typed) == 1, timeout=SECONDS)
    if what == LABELS_CHANGED:
        paint(bench.session, np.s_[:4, :4], 2)
    elif what == STAGES_CHANGED:
        finish(run, 3)
        bench.session.runs.changed.emit()
    assert not hands.sees(QLabel, "results_stale")
    program.go_on()
    hands.wait()
    assert hands.sees(QTabBar, "results_tabs")
    assert hands.sees(QLabel, "results_stale") == bool(what)
    if what:
        assert hands.text("results_stale") == what and hands.sees(QPushButton, "results_start")


def test_of_what_changed_only_that_is_told_which_the_numbers_lack(
    bench: Bench, project: Project, program: Program, hands: Hands, qtbot: Any
) -> None:
    run = trained(project, bench, 1)
    program.answer("compare", comparison(runs=(run.id,), stages=(1,)))
    hands.look()

    def refresh_while(*, stage: int, painted: bool) -> None:
        known = len(program.typed)
        stages = tuple(range(1, stage + 1))
        program.answer("compare", comparison(runs=(run.id,), stages=stages))
        program.wait()
        hands.view.refresh()
        qtbot.waitUntil(lambda: len(program.typed) > known, timeout=SECONDS)
        if painted:
            paint(bench.session, np.s_[:4, :4], 2)
        finish(run, stage)
        bench.session.runs.changed.emit()
        program.go_on()
        hands.wait()

    refresh_while(stage=2, painted=False)  # the numbers have this stage
    assert not hands.sees(QLabel, "results_stale")
    refresh_while(stage=3, painted=True)
    assert hands.text("results_stale") == LABELS_CHANGED and hands.sees(QLabel, "results_stale")
    assert bench.session.content is not None
    bench.session.content.editor.truth[8:12, 8:12] = 2  # not taken notice of yet
    hands.view.refresh()
    hands.wait()
    assert not hands.sees(QLabel, "results_stale")


def test_what_is_out_of_date_stays_so_when_the_command_fails(
    bench: Bench, project: Project, program: Program, hands: Hands
) -> None:
    trained(project, bench, 1)
    hands.look()
    paint(bench.session, np.s_[:4, :4], 2)
    program.fail("A mask is damaged. Restore a copy.")
    hands.click("results_start")
    assert hands.text("results_stale") == LABELS_CHANGED and hands.sees(QLabel, "results_stale")


def test_another_run_is_asked_for_at_once_and_so_is_a_second_one(
    bench: Bench, project: Project, program: Program, hands: Hands
) -> None:
    first = trained(project, bench, 1)
    hands.look()
    second = trained(project, bench, 1)
    hands.wait()
    assert program.typed[1] == f"compare {project.path} --run {second.id} --json --progress"
    program.answer("compare", comparison(runs=(second.id, first.id), stages=(1,)))
    bench.session.second.compare_with(first)
    hands.wait()
    runs = f"--runs {second.id},{first.id}"
    assert program.typed[2] == f"compare {project.path} {runs} --json --progress"
    assert hands.table.model().columnCount() == 4
    hands.view.compare_with(None)
    hands.wait()
    assert len(program.typed) == 4


def test_an_error_is_told_in_its_place_and_not_asked_for_again(
    bench: Bench, project: Project, program: Program, hands: Hands
) -> None:
    trained(project, bench, 1)
    program.fail("A mask is damaged. Restore a copy.")
    hands.look()
    assert hands.find(Banner, "results_result").text == "A mask is damaged. Restore a copy."
    bench.session.runs.changed.emit()
    assert len(program.typed) == 1 and not hands.sees(QTabBar, "results_tabs")
    program.work()
    hands.click("results_start")
    assert hands.sees(QTabBar, "results_tabs")
    assert not hands.find(Banner, "results_result").isVisible()


def test_an_alarm_leads_to_the_last_good_stage(
    bench: Bench, project: Project, program: Program, hands: Hands
) -> None:
    run = trained(project, bench, 1, 2, 3)
    found = comparison(runs=(run.id,))
    found["alarms"] = [
        alarm("vanished", "cell", "3", 2),
        *(alarm("vanished", f"class {at}", "1", None) for at in range(5)),
    ]
    program.answer("compare", found)
    hands.look()
    texts = [one.text() for one in hands.view.findChildren(QLabel, "results_alarm")]
    assert len(texts) == 3 and texts[0].startswith("Stage 3 has lost the class cell")
    assert bench.layers.find("stage", 3).visible
    hands.click("use_stage_2")
    assert [bench.layers.find("stage", stage).visible for stage in (1, 2, 3)] == [
        False,
        True,
        False,
    ]
    assert "choose stage 2 in Export" in bench.said[-1]


def test_without_labels_the_stages_are_compared_all_the_same(
    bench: Bench, project: Project, program: Program, hands: Hands
) -> None:
    trained(project, bench, 1, 2)
    program.answer("compare", comparison(groups=()))
    hands.look()
    assert "No image has labels" in hands.text("results_note")
    assert not any(
        (hands.sees(QComboBox, "results_group"), hands.table.isVisible()),
    )
    assert not hands.sees(QPushButton, "results_save")
    hands.turn_to(3)
    assert hands.table.isVisible() and "changed their class" in hands.text("results_note")


def test_a_click_on_an_image_leads_to_its_worst_place(
    bench: Bench, project: Project, program: Program, hands: Hands, qtbot: Any
) -> None:
    trained(project, bench, 1, 2)
    first, second, *_ = project.images
    program.answer("compare", comparison(images=(second, "deleted", first)))
    hands.look()
    hands.turn_to(4)
    for row in (0, 1):
        place = hands.table.visualRect(hands.table.model().index(row, 0)).center()
        qtbot.mouseClick(hands.table.viewport(), LEFT, pos=place)
    assert bench.jumps == [(second, Place((), (8, 40), (16, 48)))]
    qtbot.keyClick(hands.table, Qt.Key.Key_Down)
    qtbot.keyClick(hands.table, Qt.Key.Key_Return)
    assert bench.jumps[1][0] == first


def test_tables_are_sorted_by_a_click_and_copied_by_a_key(
    bench: Bench, project: Project, program: Program, hands: Hands, qtbot: Any
) -> None:
    trained(project, bench, 1, 2)
    found = comparison(stages=(1, 2))
    scores = found["groups"][0]["scores"]["1"]["iou"]
    for name, value in (("background", 0.7), ("cell", None), ("wall", 0.4)):
        ends = {"low": 0.3, "high": 0.8}
        scores[name] = None if value is None else {"value": value, **ends}
    program.answer("compare", found)
    hands.look()
    table, header = hands.table, hands.table.horizontalHeader()
    pinned = ["Mean IoU", "Right pixels"]
    at = QPoint(header.sectionPosition(1) + 20, header.height() // 2)
    for wanted in (["wall", "background", "cell"], ["background", "wall", "cell"]):
        qtbot.mouseClick(header.viewport(), LEFT, pos=at)
        assert hands.cells(0) == [*pinned, *wanted]
    cell = table.model().index(2, 1)
    qtbot.mouseClick(table.viewport(), LEFT, pos=table.visualRect(cell).center())
    qtbot.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QApplication.clipboard().text() == "70.0 (30–80)"
    table.copy(whole=True)
    lines = QApplication.clipboard().text().split("\n")
    assert lines[0] == "Class\tStage 1\tStage 2\tGain" and len(lines) == 6
    assert lines[3].startswith("background\t70.0 (30–80)\t")


@pytest.mark.parametrize("ending", ["png", "svg", "csv"])
def test_what_is_shown_is_saved(
    bench: Bench,
    project: Project,
    program: Program,
    hands: Hands,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    ending: str,
) -> None:
    trained(project, bench, 1, 2, 3)
    hands.look()
    hands.turn_to(3)
    path = tmp_path / f"changes.{ending}"
    kinds = {"png": "Picture (*.png)", "svg": "Drawing (*.svg)", "csv": "Table (*.csv)"}
    answer = (str(path.with_suffix("")), kinds[ending])  # without an ending, as some dialogs do
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: answer)
    hands.click("results_save")
    assert bench.said == [f"Saved {path}. "]
    if ending == "csv":
        assert path.read_text().splitlines()[1].startswith("1,3,background,background,")
    elif ending == "png":
        image = QImage(str(path))
        assert image.width() >= 1000 and image.pixelColor(2, 2).name() == "#ffffff"
    else:
        assert ">background<" in path.read_text()
    missing = tmp_path / "missing" / path.name
    hands.view.page.save(missing)
    assert str(missing) in bench.said[-1] and "cannot be written" in bench.said[-1]


@pytest.mark.parametrize(("ink", "paper"), [("#eeeeee", "#222222"), ("#222222", "#eeeeee")])
def test_pictures_follow_the_theme(
    bench: Bench, project: Project, program: Program, hands: Hands, qtbot: Any, ink: str, paper: str
) -> None:
    trained(project, bench, 1, 2, 3)
    hands.look()
    picture = hands.picture()
    hands.area.setStyleSheet(f"QWidget{{color:{ink};background:{paper}}}")

    def corner() -> str:
        return str(picture.image.toImage().pixelColor(1, 1).name())

    qtbot.waitUntil(lambda: picture.image is not None and corner() == paper)


def test_a_picture_that_is_wider_than_the_dock_scrolls_from_side_to_side(
    bench: Bench, project: Project, program: Program, hands: Hands
) -> None:
    trained(project, bench, 1, 2)
    program.answer("compare", comparison([f"class {at}" for at in range(20)]))
    hands.look()
    picture = hands.picture()
    assert picture.horizontalScrollBarPolicy() == Qt.ScrollBarPolicy.ScrollBarAlwaysOff
    hands.turn_to(1)
    assert hands.picture().image.width() > picture.width()
    assert picture.horizontalScrollBarPolicy() == Qt.ScrollBarPolicy.ScrollBarAlwaysOn
    sideways, down = picture.horizontalScrollBar(), picture.verticalScrollBar()
    down.setRange(0, 50)  # as where a theme leaves less room than there seems to be
    assert not turn_wheel(picture.viewport(), QPoint(0, -120))  # it scrolls the dock
    assert turn_wheel(picture.viewport(), QPoint(-120, 0))
    assert down.value() == 0 < sideways.value()


def test_what_more_labels_bring_is_asked_when_it_is_opened(
    bench: Bench, project: Project, program: Program, hands: Hands, qtbot: Any
) -> None:
    trained(project, bench, 1)
    hands.look()
    assert len(program.typed) == 1
    hands.view.show_budget()
    hands.wait()
    assert program.typed[1:] == [f"budget {project.path} --json"]
    note = "Twice as many labels may bring about 3 points"
    qtbot.waitUntil(lambda: hands.sees(QWidget, "budget_note"), timeout=SECONDS)
    assert hands.text("budget_note").startswith(note)
    assert hands.picture("budget_picture").isVisible()
    bench.session.runs.changed.emit()
    bench.session.runs.all.refresh()
    assert not hands.sees(QLabel, "budget_stale")  # they are the same runs
    make_run(project)  # which has no end yet
    bench.session.runs.all.refresh()
    assert not hands.sees(QLabel, "budget_stale")
    finish(make_run(project), 1, 2, 3)
    bench.session.runs.all.refresh()
    assert hands.sees(QLabel, "budget_stale")
    assert hands.text("budget_stale") == "Runs have changed since."


def test_a_run_that_ends_while_the_budget_is_computed_is_told_with_it(
    bench: Bench, project: Project, program: Program, hands: Hands, qtbot: Any
) -> None:
    trained(project, bench, 1)
    hands.look()
    program.wait()
    hands.view.show_budget()
    qtbot.waitUntil(lambda: len(program.typed) == 2, timeout=SECONDS)
    finish(make_run(project), 1, 2, 3)
    bench.session.runs.all.refresh()
    program.go_on()
    qtbot.waitUntil(lambda: hands.sees(QLabel, "budget_stale"), timeout=SECONDS)


def test_the_command_itself_is_asked(bench: Bench, project: Project, qtbot: Any) -> None:
    trained(project, bench, 1, 2)
    hands = Hands(bench, qtbot).look()
    assert hands.find(Banner, "results_result").text == ""
    assert hands.text("results_verdict") != ""
    assert hands.cells(0)[:2] == ["Mean IoU", "Right pixels"]
    hands.turn_to(4)
    assert hands.table.model().rowCount() == len(project.images)

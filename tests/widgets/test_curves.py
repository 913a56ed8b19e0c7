"""Curves that follow a run."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from psygnal import Signal
from qtpy.QtGui import QImage
from qtpy.QtSvg import QSvgRenderer
from qtpy.QtWidgets import QFileDialog, QLabel, QWidget

from napari_threestage.curve_data import to_csv
from napari_threestage.events import Progress, Sampled, StageStarted, Started, Validated
from napari_threestage.run_view import RunView
from napari_threestage.widgets.curves import CurvesView

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.gui


class Runs:
    """A run that is told what happens."""

    changed = Signal()
    progressed = Signal()

    def __init__(self) -> None:
        self.view = RunView({1: 10, 2: 10})
        classes = [{"name": "a<b", "color": [255, 0, 0]}, {"name": "cell", "color": [0, 0, 255]}]
        self.run = SimpleNamespace(id="run", inputs=SimpleNamespace(classes=classes))
        self.state = "running"

    def add(self, *events: Any) -> None:
        for event in events:
            self.view.add(event)
        self.progressed.emit()


class Session:
    """As much of a session as curves need."""

    classes_changed = Signal()

    def __init__(self) -> None:
        self.runs, self.project = Runs(), None
        self.said: list[str] = []
        self.loads = 0

    def background(self, work: Any, done: Any, failed: Any) -> None:
        self.loads += 1
        done(work())

    def say(self, text: str) -> None:
        self.said.append(text)

    def fail(self, error: Exception) -> None:
        self.said.append(str(error))


def events(stage: int = 1) -> list[Any]:
    made: list[Any] = [StageStarted(stage=stage, steps=10)]
    for step in (2, 4, 6, 8, 10):
        losses = {"seg": 1 / step, "con": 0.5}
        made.append(
            Progress(
                stage=stage,
                step=step,
                steps=10,
                losses=losses,
                images_per_second=1,
                eta=1,
                memory=1,
            )
        )
        iou = {"a<b": step / 20, "cell": 0.5}
        made.append(
            Sampled(stage=stage, step=step, on="labelled", miou=step / 10, iou=iou, windows=[])
        )
    return made


START = Started(run="run", device="cpu", stages=[1, 2], labelled=1, unlabelled=1)


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def curves(qtbot: Any, session: Session) -> CurvesView:
    made = CurvesView(session)  # type: ignore[arg-type]
    qtbot.addWidget(made)
    made.resize(340, 600)
    return made


def shown(curves: CurvesView, qtbot: Any) -> Any:
    """The plots, once they have been drawn."""
    curves.show()
    curves.refresh()
    qtbot.waitUntil(lambda: curves.plots is not None and "mIoU" in curves.scores.text())
    return curves.plots


def items(plot: Any) -> list[Any]:
    return [item for item in plot.listDataItems() if item.xData is not None and len(item.xData)]


def test_nothing_is_loaded_before_there_are_curves(curves: CurvesView, session: Session) -> None:
    curves.show()
    assert curves.findChild(QLabel, "no_curves").isVisible()
    assert curves.plots is None and session.loads == 0
    assert not curves.findChild(QWidget, "save_curves").isVisible()


def test_curves_appear_and_grow(curves: CurvesView, session: Session, qtbot: Any) -> None:
    session.runs.add(START, *events())
    plots = shown(curves, qtbot)
    assert not curves.findChild(QLabel, "no_curves").isVisible()
    assert len(items(plots.loss)) == 2 and len(items(plots.score)) == 3
    session.runs.add(
        Validated(stage=1, on="labelled", miou=0.9, iou={"a<b": 0.9}, accuracy=1), *events(2)
    )
    qtbot.waitUntil(lambda: max(items(plots.loss)[0].xData) == 20)
    assert session.loads == 1
    (seg, *_) = items(plots.loss)
    assert seg.xData[0] == 2 and len(seg.xData) == 11


def test_the_legend_has_names_colours_and_latest_values(
    curves: CurvesView, session: Session, qtbot: Any
) -> None:
    session.runs.add(START, *events())
    shown(curves, qtbot)
    text = curves.scores.text()
    assert "IoU on labelled images" in text
    assert "mIoU&nbsp;1.00" in text and "a&lt;b&nbsp;0.50" in text
    assert "#ff0000" in text and "#0000ff" in text
    assert "seg" in curves.losses.text()


def test_hidden_curves_are_not_drawn(curves: CurvesView, session: Session, qtbot: Any) -> None:
    session.runs.add(START, *events())
    plots = shown(curves, qtbot)
    curves.hide()
    session.runs.add(*events(2))
    qtbot.waitUntil(lambda: not curves._timer.isActive())
    assert max(items(plots.loss)[0].xData) == 10
    curves.show()
    qtbot.waitUntil(lambda: max(items(plots.loss)[0].xData) == 20)


def test_another_run_takes_the_place(curves: CurvesView, session: Session, qtbot: Any) -> None:
    session.runs.add(START, *events())
    plots = shown(curves, qtbot)
    session.runs.view = RunView()
    session.runs.changed.emit()
    qtbot.waitUntil(lambda: not plots.widget.isVisible())
    session.runs.add(START, *events()[:2])
    qtbot.waitUntil(plots.widget.isVisible)
    assert len(items(plots.loss)[0].xData) == 1


def test_many_events_are_one_drawing(
    curves: CurvesView, session: Session, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.runs.add(START, *events())
    plots = shown(curves, qtbot)
    drawn: list[int] = []
    draw = plots.draw
    monkeypatch.setattr(plots, "draw", lambda *a: (drawn.append(1), draw(*a)))
    for _ in range(50):
        session.runs.progressed.emit()
    qtbot.waitUntil(lambda: bool(drawn))
    assert len(drawn) == 1


@pytest.mark.parametrize("dark", [True, False])
def test_the_plots_follow_the_theme(
    curves: CurvesView, session: Session, qtbot: Any, dark: bool
) -> None:
    session.runs.add(START, *events())
    plots = shown(curves, qtbot)
    ink, paper = ("#eeeeee", "#222222") if dark else ("#222222", "#eeeeee")
    curves.setStyleSheet(f"QWidget{{color:{ink};background:{paper}}}")
    qtbot.waitUntil(lambda: plots.widget.backgroundBrush().color().name() == paper)
    assert plots.loss.getAxis("left").pen().color().name() == ink


@pytest.mark.parametrize("ending", ["png", "svg", "csv"])
def test_curves_are_saved(
    curves: CurvesView,
    session: Session,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    ending: str,
) -> None:
    session.runs.add(START, *events())
    shown(curves, qtbot)
    path = tmp_path / f"curves.{ending}"
    kinds = {"png": "Picture (*.png)", "svg": "Drawing (*.svg)", "csv": "Table (*.csv)"}
    answer = (str(path.with_suffix("")), kinds[ending])  # without an ending, as some dialogs do
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: answer)
    curves.findChild(QWidget, "save_curves").click()
    assert session.said == [f"Saved {path}."]
    if ending == "csv":
        assert path.read_text() == to_csv(session.runs.view)
    elif ending == "png":
        image = QImage(str(path))
        assert image.width() >= 1000
        assert image.pixelColor(2, 2).name() == "#ffffff"
    else:
        assert QSvgRenderer(str(path)).isValid()
        assert "cell" in path.read_text()


@pytest.mark.parametrize("ending", ["png", "svg", "csv"])
def test_a_place_that_cannot_be_written_is_named(
    curves: CurvesView, session: Session, qtbot: Any, tmp_path: Path, ending: str
) -> None:
    session.runs.add(START, *events())
    shown(curves, qtbot)
    path = tmp_path / "missing" / f"curves.{ending}"
    curves.save(path)
    (said,) = session.said
    assert str(path) in said and "cannot be saved" in said


def test_plotting_is_not_loaded_with_the_part() -> None:
    import subprocess

    code = "import napari_threestage.widgets.train_part, sys; print('pyqtgraph' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_curves_that_begin_late_leave_the_first_stage_in_sight(
    curves: CurvesView, session: Session, qtbot: Any
) -> None:
    made = events()
    session.runs.add(START, *made[-3:])
    curves.show()
    curves.refresh()
    qtbot.waitUntil(lambda: curves.plots is not None and "con" in curves.losses.text())
    first, last = curves.plots.loss.viewRange()[0]
    assert first <= 0 < 10 < last  # where stage 2 begins, and has room for its name
    assert curves.plots.score.viewRange()[0] == [first, last]

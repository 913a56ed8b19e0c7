"""Progress as bars: a run's, and that of one stage in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QRect, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from napari_threestage.run_view import about
from napari_threestage.widgets.controls import note

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent
    from qtpy.QtWidgets import QGridLayout

    from napari_threestage.run_view import StageView

SLIM, HIGH = 8, 18
FILL, GROOVE = QColor("#2f7fc1"), QColor(128, 128, 128, 70)


class Bar(QWidget):
    """A bar that is drawn with the next frame.

    Qt's own draws the whole window, the canvas of napari with it, each time its value changes.
    """

    def __init__(self, height: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fraction, self._text = 0.0, ""
        self._height = height
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(60)

    @property
    def fraction(self) -> float:
        """How much is done, 0..1."""
        return self._fraction

    @property
    def text(self) -> str:
        """What is written on it."""
        return self._text

    def show_fraction(self, fraction: float, text: str = "") -> None:
        """Show how much is done."""
        if (fraction, text) != (self._fraction, self._text):
            self._fraction, self._text = fraction, text
            self.setAccessibleName(f"{100 * fraction:.0f} %")
            self.update()

    def sizeHint(self) -> QSize:
        """As wide as there is room."""
        return QSize(100, self._height)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw groove, bar and text."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        area = QRectF(0, 0, self.width(), self.height())
        painter.setBrush(GROOVE)
        painter.drawRoundedRect(area, 3, 3)
        done = round(self.width() * self._fraction)
        painter.setBrush(FILL)
        painter.drawRoundedRect(QRectF(0, 0, done, self.height()), 3, 3)
        if self._text:
            ink = self.palette().color(QPalette.ColorRole.WindowText)
            whole = QRect(0, 0, self.width(), self.height())
            for part, colour in ((whole, ink), (QRect(0, 0, done, self.height()), QColor("white"))):
                painter.setClipRect(part)
                painter.setPen(colour)
                painter.drawText(whole, Qt.AlignmentFlag.AlignCenter, self._text)
        painter.end()


class StageBar:
    """Name, slim bar and phase of a stage, as a line of a grid."""

    def __init__(self, number: int) -> None:
        self.name = QLabel(f"Stage {number}")
        self.bar = Bar(SLIM)
        self.bar.setObjectName(f"stage_bar_{number}")
        self.phase = note()
        self.phase.setObjectName(f"stage_phase_{number}")
        self.phase.setWordWrap(False)
        self.phase.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.phase.setFixedWidth(120)

    def place(self, grid: QGridLayout, line: int) -> None:
        """Put the widgets into a line of a grid."""
        for column, widget in enumerate((self.name, self.bar, self.phase)):
            grid.addWidget(widget, line, column)

    def remove(self, grid: QGridLayout) -> None:
        """Take the widgets out of their grid."""
        for widget in (self.name, self.bar, self.phase):
            grid.removeWidget(widget)
            widget.hide()
            widget.deleteLater()

    def show_stage(self, stage: StageView) -> None:
        """Show how far a stage is."""
        self.bar.show_fraction(stage.fraction)
        self.phase.setText(phase_text(stage))
        score = next(
            (
                f"mIoU {100 * stage.scores[on].miou:.1f} % on {on} images"  # type: ignore[operator]
                for on in ("validation", "labelled")
                if on in stage.scores and stage.scores[on].miou is not None
            ),
            "",
        )
        took = f"took {about(stage.seconds)}" if stage.seconds is not None else ""
        lines = [f"Stage {stage.number}: {stage.phase}, step {stage.step} of {stage.steps}"]
        tip = "\n".join([*lines, *filter(None, (score, took))])
        for widget in (self.name, self.bar, self.phase):
            widget.setToolTip(tip)


def phase_text(stage: StageView) -> str:
    """Return what a stage does, in a few words."""
    if stage.phase == "training":
        return f"{stage.step}/{stage.steps} steps"
    if stage.phase == "predicting" and stage.total:
        return f"masks {stage.predicted}/{stage.total}"
    if stage.phase == "finished":
        for on in ("validation", "labelled"):
            score = stage.scores.get(on)
            if score is not None and score.miou is not None:
                return f"✓ mIoU {100 * score.miou:.1f} %"
        return "✓ finished"
    return {"predicting": "masks …", "scoring": "scoring …"}.get(stage.phase, stage.phase)

"""Take a stage's mask over into the ground truth: whole, by class, in a region, where confident."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QComboBox, QGroupBox, QSpinBox, QWidget

from napari_threestage.widgets.controls import button, caption, column, note, row, swatch
from napari_threestage.widgets.listening import listen

if TYPE_CHECKING:
    from napari_threestage.widgets.workbench import Workbench


class TakeOverBox(QGroupBox):
    """The controls of `painter.Painter.take_over`."""

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__("Take over from a stage", parent)
        self._bench, self._session = bench, bench.session
        self._stage = _combo("take_over_stage", "The stage whose mask is taken over")
        self._by_hand = False  # otherwise the latest stage is offered
        self._stage.activated.connect(self._choose_stage)
        self._classes = _combo("take_over_class", "One class, or all of them")
        self._free = QCheckBox("Only where nothing is painted")
        self._free.setObjectName("take_over_free")
        self._free.setToolTip("Leave every pixel alone that has a label already")
        self._free.setChecked(True)
        self._inside = QCheckBox("Only inside regions")
        self._inside.setObjectName("take_over_inside")
        self._inside.setToolTip("Only where you have drawn a region")
        self._sure = QSpinBox()
        self._sure.setObjectName("take_over_confidence")
        self._sure.setRange(0, 100)
        self._sure.setPrefix("≥ ")
        self._sure.setSuffix(" %")
        self._sure.setSpecialValueText("any")
        self._sure.setToolTip("Least confidence of the stage, 0 = any")
        draw = button("Draw region", "Draw around what to take over", self._draw)
        draw.setObjectName("draw_region")
        self._draw_button = draw
        self._go = button(
            "Take over", "Copy into the ground truth; Ctrl+Z takes it back", self._take
        )
        self._go.setObjectName("take_over")
        self._hint = note()
        self.setLayout(
            column(
                row(self._stage, self._classes, stretch=1),
                self._free,
                row(self._inside, 1, draw),
                row(caption("Confidence"), self._sure, 1, self._go),
                self._hint,
                1,
                margins=6,
            )
        )
        self._session.image_shown.connect(self._on_image)
        self._session.classes_changed.connect(self.update_choices)
        self._session.runs.changed.connect(self.update_choices)
        listen(self, (bench.ticked, self._on_tick))
        self.update_choices()

    def _on_image(self, content: object) -> None:
        self.update_choices()

    def _choose_stage(self) -> None:
        self._by_hand = True

    def _on_tick(self) -> None:
        if self._stages() != self._offered:
            self.update_choices()

    def _stages(self) -> list[int]:
        content = self._session.content
        return sorted(content.masks) if content is not None else []

    def update_choices(self) -> None:
        """Offer the stages that have a mask of this image, and the classes."""
        stages = self._offered = self._stages()
        chosen = self._stage.currentData() if self._by_hand else None
        chosen_class = self._classes.currentIndex()
        self._stage.clear()
        for stage in stages:
            self._stage.addItem(f"Stage {stage}", stage)
        self._stage.setCurrentIndex(stages.index(chosen) if chosen in stages else len(stages) - 1)
        self._classes.clear()
        self._classes.addItem("All classes", None)
        project = self._session.project
        for index, entry in enumerate(project.classes if project else (), start=1):
            self._classes.addItem(swatch(entry.color), entry.name, index)
        self._classes.setCurrentIndex(max(0, min(chosen_class, self._classes.count() - 1)))
        ready = bool(stages) and self._session.writable
        for widget in (self._stage, self._classes, self._go, self._draw_button, self._free):
            widget.setEnabled(ready)
        for control in (self._inside, self._sure):
            control.setEnabled(ready)
        self._hint.setText("" if stages else "There are masks to take over once a stage is done.")
        self._hint.setVisible(not stages)

    def _draw(self) -> None:
        if self._session.content is not None:
            self._inside.setChecked(True)
            self._bench.layers.ask_region(self._session.content)

    def _take(self) -> None:
        stage, chosen = self._stage.currentData(), self._classes.currentData()
        inside = self._inside.isChecked()
        content = self._session.content
        if stage is None or content is None:
            return
        if inside and self._bench.layers.region(content.record.label_shape) is None:
            self._session.say("No region is drawn.", "Press “Draw region” and draw one.", "warning")
            return
        changed = self._bench.painter.take_over(
            stage,
            classes=None if chosen is None else [chosen],
            inside_region=inside,
            only_unlabelled=self._free.isChecked(),
            at_least=self._sure.value() / 100,
        )
        if inside and changed:
            self._bench.layers.remove_region()
            self._inside.setChecked(False)
        self._bench.painter.start_painting()
        self._session.say(
            f"Took over {changed or 0:,} pixels of stage {stage}."
            if changed
            else "Nothing was left to take over with these choices.",
            "Ctrl+Z on the Ground truth layer takes it back." if changed else "",
        )


def _combo(name: str, tooltip: str) -> QComboBox:
    made = QComboBox()
    made.setObjectName(name)
    made.setToolTip(tooltip)
    made.setMinimumContentsLength(7)
    made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return made

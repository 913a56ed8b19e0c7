"""What a person chooses for a run: preset, device, stages, and every setting there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QCoreApplication, Qt, Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from napari_threestage.presets import PRESETS
from napari_threestage.settings import (
    PRESET_PURPOSES,
    RunChoices,
    device_choices,
    device_kind,
    device_memory,
    parse_value,
)
from napari_threestage.widgets.controls import SPACE, column, note
from napari_threestage.widgets.disclosure import Disclosure
from napari_threestage.widgets.fields import choice_box, whole_number
from napari_threestage.widgets.options import Options
from napari_threestage.widgets.process import CommandProcess
from napari_threestage.widgets.settings_form import SettingsForm

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

STAGES = {
    "All three stages": "1-3",
    "Only stage 1": "1",
    "From stage 2 on": "2-3",
    "Only stage 3": "3",
    "Four stages": "1-4",
}
STAGES_TOOLTIP = (
    "Stage 1 learns from the labelled images, stage 2 also from its own masks of all others, "
    "stage 3 refines. From a later stage on: the latest run with the stages before is built on."
)


class SetUp(QWidget):
    """The choices for the next run.

    Parameters
    ----------
    preferences
        What is chosen at first.
    """

    changed = Signal()

    def __init__(self, preferences: Options | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        preferences = preferences or Options()
        self._threads = preferences.threads
        self._share = 0.0
        self._found: dict[str, Any] = {}
        self._looking: CommandProcess | None = None
        self.form: SettingsForm | None = None
        self._purpose = note()
        self._purpose.setObjectName("preset_purpose")
        self.preset = choice_box("The recipe", "preset")
        for name in PRESETS:
            self.preset.addItem(name)
            place = self.preset.count() - 1
            self.preset.setItemData(place, PRESET_PURPOSES[name], Qt.ItemDataRole.ToolTipRole)
        self.preset.setCurrentText(preferences.preset)
        self.device = choice_box("Where to train; looking for what there is …", "device")
        self._show_devices(preferences.device)
        self.stages = choice_box(STAGES_TOOLTIP, "stages")
        for text, value in STAGES.items():
            self.stages.addItem(text, value)
        self.steps = whole_number("Steps of each stage; 0: as the preset says", "steps", 0)
        self.steps.setSpecialValueText("as the preset says")
        self.seed = whole_number(
            "Where chance begins: the same seed gives the same run on the same device", "seed", 0
        )
        self.advanced = Disclosure("Advanced", "Every setting there is", self._make_form)
        self.advanced.button.setObjectName("advanced")
        self.setLayout(column(self._fields(), self.advanced))
        self._show_purpose()
        self.preset.currentTextChanged.connect(self._preset_chosen)
        for box in (self.device, self.stages):
            box.currentIndexChanged.connect(self._chosen)
        for number in (self.steps, self.seed):
            number.valueChanged.connect(self._chosen)

    def _fields(self) -> QFormLayout:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(SPACE)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(_label("Preset"), self.preset)
        form.addRow(self._purpose)
        form.addRow(_label("Device"), self.device)
        form.addRow(_label("Stages"), self.stages)
        form.addRow(_label("Steps per stage"), self.steps)
        form.addRow(_label("Seed"), self.seed)
        return form

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong with the settings, by their names."""
        return self.form.problems if self.form is not None else {}

    @property
    def device_kind(self) -> str:
        """``cpu``, ``cuda`` or ``mps``."""
        return device_kind(self.device.currentData() or "auto", self._found)

    @property
    def device_memory(self) -> int | None:
        """Bytes that the device has; None if that is not known."""
        return device_memory(self.device.currentData() or "auto", self._found)

    def choices(self) -> RunChoices:
        """Return what is chosen."""
        changes = self.form.changes() if self.form is not None else []
        if self._threads and not any(change.startswith("threads=") for change in changes):
            changes.append(f"threads={self._threads}")
        return RunChoices(
            preset=self.preset.currentText(),
            device=self.device.currentData() or "auto",
            stages=self.stages.currentData(),
            steps=self.steps.value(),
            seed=self.seed.value(),
            changes=tuple(changes),
        )

    def set_setting(self, text: str) -> None:
        """Change a setting, given as ``name=value``."""
        self.advanced.open()
        name, _, value = text.partition("=")
        if self.form is not None:
            self.form.set_value(name, parse_value(value))

    def set_labelled_share(self, share: float) -> None:
        """Take the values that a preset has for this share of labelled images."""
        if share != self._share:
            self._share = share
            if self.form is not None:
                self.form.set_preset(self.preset.currentText(), share)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look for devices when they are first wanted: another process needs seconds for it."""
        super().showEvent(event)
        if self._looking is None:
            self._looking = CommandProcess(["doctor", "--json"], self)
            self._looking.finished.connect(self.set_devices)
            self._looking.failed.connect(self._no_devices)
            QCoreApplication.instance().aboutToQuit.connect(self._looking.close)
            self._looking.start()

    def set_devices(self, found: dict[str, Any]) -> None:
        """Offer the devices that ``threestage doctor`` has found."""
        self._found = found
        self._show_devices(self.device.currentData())
        self.device.setToolTip("Where to train; auto takes a GPU if there is one")
        self.changed.emit()

    def _no_devices(self, message: str, hint: str) -> None:
        self.device.setToolTip(f"The devices could not be looked up: {message} {hint}")

    def _show_devices(self, chosen: str) -> None:
        blocked = self.device.blockSignals(True)
        self.device.clear()
        choices = device_choices(self._found)
        if chosen not in dict(choices):
            choices.append((chosen, chosen))
        for value, text in choices:
            self.device.addItem(text, value)
            self.device.setItemData(self.device.count() - 1, text, Qt.ItemDataRole.ToolTipRole)
        self.device.setCurrentIndex(list(dict(choices)).index(chosen))
        self.device.blockSignals(blocked)

    def _make_form(self) -> SettingsForm:
        self.form = SettingsForm(self.preset.currentText(), self)
        self.form.set_preset(self.preset.currentText(), self._share)
        self.form.changed.connect(self._chosen)
        return self.form

    def _preset_chosen(self) -> None:
        self._show_purpose()
        if self.form is not None:
            self.form.set_preset(self.preset.currentText(), self._share)
        self.changed.emit()

    def _show_purpose(self) -> None:
        purpose = PRESET_PURPOSES[self.preset.currentText()]
        self._purpose.setText(purpose)
        self.preset.setToolTip(purpose)

    def _chosen(self, *_: object) -> None:
        count = len(self.form.values) if self.form is not None else 0
        self.advanced.set_title(f"Advanced ({count} changed)" if count else "Advanced")
        self.changed.emit()


def _label(text: str) -> QLabel:
    label = QLabel(text)
    label.setMinimumWidth(96)
    return label

"""Every setting of a recipe as a form, made from the settings themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QLineEdit, QToolButton, QWidget

from napari_threestage.settings import (
    all_settings,
    changed_settings,
    preset_values,
    section_title,
    setting_problems,
    value_text,
)
from napari_threestage.widgets.controls import (
    LEVEL_COLOURS,
    SPACE,
    button,
    column,
    heading,
    note,
    row,
    small_button,
)
from napari_threestage.widgets.fields import Field, same

if TYPE_CHECKING:
    from napari_threestage.settings import Setting

LABEL_WIDTH = 128
LONG_TEXT = 24  # characters from which a value is shown in its tooltip too


class _Row:
    """The name of a setting, its field, what resets it, and below what is wrong with it."""

    def __init__(self, form: SettingsForm, setting: Setting) -> None:
        self.setting = setting
        self.field = Field(setting, form)
        self.name = QLabel(setting.label)
        self.name.setFixedWidth(LABEL_WIDTH)
        self.name.setWordWrap(True)
        self.reset: QToolButton = small_button("", "", lambda: form.reset(setting.name))
        self.reset.setObjectName(f"reset {setting.name}")
        self.reset.setAutoRaise(True)
        self.problem = note()
        self.problem.setObjectName(f"problem {setting.name}")
        self.problem.setStyleSheet(f"color:{LEVEL_COLOURS['error']}")
        self.base: Any = None
        self.wrong = ""
        self.field.changed.connect(form.note_change)

    @property
    def changed(self) -> bool:
        """Whether the value is not the preset's."""
        return not same(self.base, self.field.value)

    def place(self, grid: QGridLayout, line: int) -> None:
        """Put the widgets into two lines of a grid."""
        grid.addWidget(self.name, line, 0, Qt.AlignmentFlag.AlignVCenter)
        grid.addWidget(self.field.widget, line, 1)
        grid.addWidget(self.reset, line, 2)
        grid.addWidget(self.problem, line + 1, 0, 1, 3)

    def show_state(self) -> None:
        """Mark a changed value and say what is wrong with it."""
        self.name.setStyleSheet("font-weight:bold" if self.changed else "")
        self.reset.setText("↺" if self.changed else "")
        self.reset.setEnabled(self.changed)
        before = value_text(self.base)
        self.reset.setToolTip(f"Back to {before}, as the preset has it")
        value = value_text(self.field.value)
        lines = [self.setting.description, self.setting.name, f"Preset: {before}"]
        if len(value) > LONG_TEXT:
            lines.append(f"Now: {value}")
        for widget in (self.name, self.field.widget):
            widget.setToolTip("\n".join(filter(None, lines)))
        self.problem.setText(self.wrong)
        self.problem.setVisible(bool(self.wrong) and not self.name.isHidden())

    def show(self, shown: bool) -> None:
        """Show or hide the row."""
        for widget in (self.name, self.field.widget, self.reset):
            widget.setVisible(shown)
        self.show_state()

    def matches(self, words: list[str]) -> bool:
        """Whether all words occur in the setting's name or description."""
        text = f"{self.setting.name} {self.setting.label} {self.setting.description}".lower()
        return all(word in text for word in words)


class SettingsForm(QWidget):
    """All settings by section; those that differ from the preset are marked and can be reset.

    Parameters
    ----------
    preset
        Whose values are shown at first.
    """

    changed = Signal()

    def __init__(self, preset: str = "quick", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._preset, self._share = preset, 0.0
        self._rows: dict[str, _Row] = {}
        self._sections: dict[str, QLabel] = {}
        self.search = QLineEdit()
        self.search.setObjectName("search_settings")
        self.search.setPlaceholderText("Search the settings …")
        self.search.setToolTip("Show only the settings whose name or description has these words")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._filter)
        self._nothing = note("No setting is called so.")
        self._nothing.hide()
        self._count = note()
        self._count.setObjectName("changed_settings")
        self._reset_all = button("Reset all", "Take the preset's values again", self.reset_all)
        self._reset_all.setObjectName("reset_all")
        foot = row(self._count, self._reset_all, stretch=0)
        self.setLayout(column(self.search, self._grid(), self._nothing, foot))
        self.set_preset(preset)

    def _grid(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(SPACE)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        line = 0
        for setting in all_settings():
            if setting.section not in self._sections:
                title = heading((setting.section or "other").capitalize())
                title.setToolTip(section_title(setting.section))
                self._sections[setting.section] = title
                grid.addWidget(title, line, 0, 1, 3)
                line += 1
            made = _Row(self, setting)
            made.place(grid, line)
            self._rows[setting.name] = made
            line += 2
        return grid

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong, by the name of the setting."""
        return {name: one.wrong for name, one in self._rows.items() if one.wrong}

    @property
    def values(self) -> dict[str, Any]:
        """The changed values by the name of the setting."""
        return {name: one.field.value for name, one in self._rows.items() if one.changed}

    def changes(self) -> list[str]:
        """Return what differs from the preset as ``name=value``."""
        return changed_settings(self._preset, self.values, self._share)

    def set_preset(self, preset: str, labelled_share: float = 0.0) -> None:
        """Compare with another preset; what a person changed stays as it is."""
        kept = self.values if self._rows and self._rows["threads"].base is not None else {}
        self._preset, self._share = preset, labelled_share
        for name, value in preset_values(preset, labelled_share).items():
            one = self._rows[name]
            one.base = value
            one.field.set_value(kept.get(name, value))
        self._check()

    def set_value(self, name: str, value: Any) -> None:
        """Change a setting as a person would."""
        self._rows[name].field.set_value(value)
        self.note_change()

    def reset(self, name: str) -> None:
        """Take the preset's value of a setting again."""
        self.set_value(name, self._rows[name].base)

    def reset_all(self) -> None:
        """Take the preset's values again."""
        for one in self._rows.values():
            one.field.set_value(one.base)
        self.note_change()

    def note_change(self) -> None:
        """Check the values and tell that they changed."""
        self._check()
        self.changed.emit()

    def _check(self) -> None:
        problems = setting_problems(self._preset, self.values)
        for name, one in self._rows.items():
            one.wrong = problems.get(name, "")
            one.show_state()
        count = len(self.values)
        words = "1 setting differs" if count == 1 else f"{count or 'No'} settings differ"
        self._count.setText(f"{words} from the preset.")
        self._reset_all.setEnabled(bool(count))

    def _filter(self, text: str) -> None:
        words = text.lower().split()
        found = set()
        for one in self._rows.values():
            shown = one.matches(words)
            one.show(shown)
            if shown:
                found.add(one.setting.section)
        for section, title in self._sections.items():
            title.setVisible(section in found)
        self._nothing.setVisible(not found)

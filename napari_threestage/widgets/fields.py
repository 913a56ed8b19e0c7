"""Fields that a person fills in; the wheel scrolls past all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from napari_threestage.settings import as_json, parse_value, value_text
from napari_threestage.widgets.controls import row, small_button

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.settings import Setting

LARGEST = 2**31 - 1
DECIMALS = 12  # settings as small as a learning rate
WEIGHTS = "network.weights"


class _WheelGuard(QObject):
    """Hands the wheel to what scrolls, so that nobody changes a number on the way past it."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        return False


def calm(widget: QWidget) -> QWidget:
    """Keep the wheel from changing a field; return it."""
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    pass_wheel_on(widget)
    return widget


def pass_wheel_on(widget: QWidget) -> None:
    """Let the wheel scroll what a widget is in."""
    widget.installEventFilter(_WheelGuard(widget))


def choice_box(tooltip: str, name: str) -> QComboBox:
    """Return an empty combobox that takes the room it is given."""
    box = QComboBox()
    box.setToolTip(tooltip)
    box.setObjectName(name)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    box.setMinimumContentsLength(4)
    calm(box)
    return box


def whole_number(tooltip: str, name: str, low: int, high: int = LARGEST) -> QSpinBox:
    """Return a field for a whole number."""
    box = QSpinBox()
    box.setRange(low, high)
    box.setToolTip(tooltip)
    box.setObjectName(name)
    _plain(box)
    return box


def _plain(box: QAbstractSpinBox) -> None:
    box.setMinimumWidth(60)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    box.setKeyboardTracking(True)
    calm(box)


class NumberBox(QDoubleSpinBox):
    """A number as people write it: 0.5, and 3e-05 rather than a row of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(DECIMALS)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        _plain(self)

    def textFromValue(self, value: float) -> str:
        """Return the shortest text of a number."""
        return f"{value:.6g}"

    def valueFromText(self, text: str | None) -> float:
        """Return the number that a text says."""
        try:
            return float((text or "").strip())
        except ValueError:
            return self.value()

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Let everything be typed that may become a number."""
        text = text or ""
        try:
            fits = self.minimum() <= float(text) <= self.maximum()
        except ValueError:
            fits = False
            if set(text) - set("0123456789.eE+- "):
                return QValidator.State.Invalid, text, position
        state = QValidator.State.Acceptable if fits else QValidator.State.Intermediate
        return state, text, position


class Field(QObject):
    """One setting as a widget.

    Parameters
    ----------
    setting
        What it may be.
    """

    changed = Signal()  # a person changed the value

    def __init__(self, setting: Setting, parent: QWidget) -> None:
        super().__init__(parent)
        self.setting = setting
        self._value: Any = None
        self._loading = False
        self.widget, self._read, self._write = _editor(setting, self._edited)
        self.widget.setObjectName(setting.name)

    @property
    def value(self) -> Any:
        """What it is set to."""
        return self._value

    def set_value(self, value: Any) -> None:
        """Show a value."""
        self._value = value
        self._loading = True
        try:
            self._write(value)
        finally:
            self._loading = False

    def _edited(self, *_: object) -> None:
        if not self._loading:
            self._value = self._read()
            self.changed.emit()


def _editor(
    setting: Setting, edited: Callable[..., None]
) -> tuple[QWidget, Callable[[], Any], Callable[[Any], None]]:
    """Return a setting's widget and how to read and write it."""
    if setting.kind == "bool":
        check = QCheckBox()
        check.toggled.connect(edited)
        return check, check.isChecked, check.setChecked
    if setting.kind == "choice":
        return _choices(setting, edited)
    if setting.kind == "int":
        low = int(setting.low) if setting.low is not None else -LARGEST
        whole = whole_number("", setting.name, low, int(setting.high or LARGEST))
        whole.valueChanged.connect(edited)
        return whole, whole.value, whole.setValue
    if setting.kind == "float":
        number = NumberBox()
        low_limit = setting.low if setting.low is not None else -1e9
        number.setRange(low_limit, setting.high if setting.high is not None else 1e9)
        number.valueChanged.connect(edited)
        return number, number.value, number.setValue
    if setting.name == WEIGHTS:
        return _weights(edited)
    text = QLineEdit()
    text.setMinimumWidth(60)
    text.textChanged.connect(edited)

    def write(value: Any) -> None:
        text.setText(value_text(value))
        text.setCursorPosition(0)

    return text, lambda: parse_value(text.text()), write


def _choices(
    setting: Setting, edited: Callable[..., None]
) -> tuple[QWidget, Callable[[], Any], Callable[[Any], None]]:
    box = choice_box("", setting.name)
    for choice in setting.choices:
        box.addItem(str(choice), choice)
    box.currentIndexChanged.connect(edited)
    choices = list(setting.choices)
    return box, box.currentData, lambda value: box.setCurrentIndex(choices.index(value))


def _weights(
    edited: Callable[..., None],
) -> tuple[QWidget, Callable[[], Any], Callable[[Any], None]]:
    """A choice of names, and a file beside it."""
    whole = QWidget()
    box = choice_box("", "weights_name")
    box.setEditable(True)
    box.addItems(["auto", "imagenet", "none"])
    box.currentTextChanged.connect(edited)

    def choose() -> None:
        path, _ = QFileDialog.getOpenFileName(
            whole,
            "Weights of the backbone",
            "",
            "Weights (*.safetensors *.pth *.pt);;All files (*)",
        )
        if path:
            box.setCurrentText(path)

    find = small_button("…", "Choose a file of weights", choose)
    find.setObjectName("choose_weights")
    whole.setLayout(row(box, find, stretch=0))
    return whole, lambda: box.currentText().strip(), lambda value: box.setCurrentText(str(value))


def same(one: Any, other: Any) -> bool:
    """Whether two values of a setting mean the same; a field rounds what it shows."""
    if isinstance(one, float) and isinstance(other, (int, float)):
        return abs(one - other) <= max(1e-9 * abs(one), 10.0**-DECIMALS)
    return bool(as_json(one) == as_json(other))

"""The form of all settings, filled in by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QWidget,
)

from napari_threestage.config import load_config, parse_setting
from napari_threestage.settings import all_settings
from napari_threestage.widgets.disclosure import Disclosure
from napari_threestage.widgets.fields import NumberBox
from napari_threestage.widgets.settings_form import SettingsForm

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.gui


@pytest.fixture
def form(qtbot: Any) -> SettingsForm:
    made = SettingsForm()
    qtbot.addWidget(made)
    made.show()
    return made


def type_into(qtbot: Any, field: QWidget, text: str) -> None:
    field.setFocus()
    field.selectAll()  # type: ignore[attr-defined]
    qtbot.keyClicks(field, text)


def test_every_setting_has_a_field_with_its_value(form: SettingsForm) -> None:
    for setting in all_settings():
        field = form.findChild(QWidget, setting.name)
        assert field is not None, setting.name
        assert setting.name in field.toolTip()
    assert form.changes() == []
    assert form.problems == {}
    assert form.findChild(QDoubleSpinBox, "optimiser.learning_rate").text() == "0.002"
    assert form.findChild(QLineEdit, "data.crop").text() == "[64, 64]"


def test_what_is_filled_in_is_what_a_run_gets(form: SettingsForm, qtbot: Any) -> None:
    with qtbot.waitSignal(form.changed):
        form.findChild(QCheckBox, "data.flip").click()
    type_into(qtbot, form.findChild(QSpinBox, "augment.count"), "5")
    type_into(qtbot, form.findChild(QDoubleSpinBox, "optimiser.learning_rate"), "3e-5")
    type_into(qtbot, form.findChild(QLineEdit, "data.crop"), "[64, 128]")
    form.findChild(QComboBox, "network.backbone").setCurrentText("resnet18")
    changes = dict(parse_setting(text) for text in form.changes())
    assert changes == {
        "data.flip": False,
        "augment.count": 5,
        "optimiser.learning_rate": 3e-5,
        "data.crop": [64, 128],
        "network.backbone": "resnet18",
    }
    config = load_config("quick", changes)
    assert (config.data.crop, config.optimiser.learning_rate) == ((64, 128), 3e-5)
    assert form.findChild(QLabel, "changed_settings").text().startswith("5 settings differ")


def test_a_wrong_value_is_explained_where_it_stands(form: SettingsForm, qtbot: Any) -> None:
    field = form.findChild(QLineEdit, "data.crop")
    type_into(qtbot, field, "[0, 64]")
    problem = form.findChild(QLabel, "problem data.crop")
    assert problem.isVisible() and "greater than or equal to 1" in problem.text()
    assert form.problems.keys() == {"data.crop"}
    type_into(qtbot, field, "[64, 64]")
    assert not problem.isVisible()
    assert form.changes() == []


def test_a_changed_value_is_marked_and_reset(form: SettingsForm, qtbot: Any) -> None:
    field = form.findChild(QSpinBox, "augment.count")
    reset = form.findChild(QToolButton, "reset augment.count")
    assert not reset.isEnabled()
    field.setValue(7)
    assert reset.isEnabled() and "Back to 3" in reset.toolTip()
    qtbot.mouseClick(reset, Qt.MouseButton.LeftButton)
    assert field.value() == 3 and form.changes() == [] and not reset.isEnabled()
    field.setValue(7)
    form.set_value("loss.dice", 0.25)
    qtbot.mouseClick(form.findChild(QWidget, "reset_all"), Qt.MouseButton.LeftButton)
    assert form.changes() == []


def test_numbers_are_not_rounded_by_being_shown(form: SettingsForm) -> None:
    form.set_preset("paper-voc")  # has 32 / 321
    form.set_value("loss.dice", 0.5)
    assert form.changes() == ["loss.dice=0.5"]
    form.reset("augment.cutout_size")
    assert form.changes() == ["loss.dice=0.5"]


def test_changes_stay_when_another_preset_is_chosen(form: SettingsForm) -> None:
    form.set_value("augment.count", 7)
    form.set_preset("paper-voc", 1 / 8)
    assert form.changes() == ["augment.count=7"]
    assert form.findChild(QSpinBox, "data.labelled_batch").value() == 2


def test_searching_hides_the_others(form: SettingsForm, qtbot: Any) -> None:
    qtbot.keyClicks(form.search, "learning rate")
    visible = [s.name for s in all_settings() if form.findChild(QWidget, s.name).isVisible()]
    assert visible == ["optimiser.learning_rate"]
    form.search.setText("no such thing")
    assert any("No setting" in label.text() for label in form.findChildren(QLabel))
    form.search.clear()
    assert form.findChild(QWidget, "threads").isVisible()


def test_a_hidden_wrong_setting_does_not_show_its_sentence(form: SettingsForm) -> None:
    form.set_value("data.crop", [0])
    form.search.setText("threads")
    assert not form.findChild(QLabel, "problem data.crop").isVisible()
    assert "data.crop" in form.problems


def test_the_wheel_scrolls_past_the_fields(form: SettingsForm) -> None:
    for name in ("augment.count", "loss.dice", "network.decoder"):
        field = form.findChild(QWidget, name)
        position = QPointF(field.rect().center())
        event = QWheelEvent(
            position,
            field.mapToGlobal(position),
            QPoint(0, 120),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(field, event)
    assert form.changes() == []


def test_a_file_of_weights_is_chosen(
    form: SettingsForm, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(tmp_path / "my weights.safetensors")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a: (path, ""))
    qtbot.mouseClick(form.findChild(QToolButton, "choose_weights"), Qt.MouseButton.LeftButton)
    assert form.changes() == [f"network.weights={path}"]


@pytest.mark.parametrize(
    ("text", "value"), [("0.25", 0.25), ("3e-05", 3e-5), (".5", 0.5), ("1E-3", 1e-3), ("0", 0)]
)
def test_numbers_are_typed_as_people_write_them(qtbot: Any, text: str, value: float) -> None:
    box = NumberBox()
    qtbot.addWidget(box)
    box.setRange(0, 10)
    box.setValue(5)
    box.selectAll()
    qtbot.keyClicks(box, text)
    assert box.value() == pytest.approx(value)


def test_letters_are_no_number(qtbot: Any) -> None:
    box = NumberBox()
    qtbot.addWidget(box)
    box.setValue(5)
    box.selectAll()
    qtbot.keyClicks(box, "abc")
    assert box.value() == 5


def test_what_is_folded_away_is_made_when_it_is_opened(qtbot: Any) -> None:
    made: list[QWidget] = []

    def make() -> QWidget:
        made.append(QWidget())
        return made[-1]

    fold = Disclosure("More", "Tip", make)
    qtbot.addWidget(fold)
    fold.show()
    assert not made
    qtbot.mouseClick(fold.button, Qt.MouseButton.LeftButton)
    assert made[0].isVisible() and fold.opened
    qtbot.keyClick(fold.button, Qt.Key.Key_Space)
    assert not made[0].isVisible()
    fold.open()
    assert len(made) == 1

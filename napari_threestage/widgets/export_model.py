"""The segmenter of a stage as one file, for this program or for others."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QPlainTextEdit, QWidget

from napari_threestage.errors import ConfigError
from napari_threestage.export_choice import (
    LICENCES,
    MODEL_FORMATS,
    CardText,
    ExportChoice,
    default_file,
    file_to_write,
    forget_emptied,
    format_of,
    read_card,
    say_existing,
)
from napari_threestage.export_report import say_export
from napari_threestage.widgets.command_box import CommandBox, Turns
from napari_threestage.widgets.controls import column, note
from napari_threestage.widgets.disclosure import Disclosure
from napari_threestage.widgets.fields import choice_box
from napari_threestage.widgets.form_rows import FIELD_STYLE, PathField, form, text_field
from napari_threestage.widgets.listening import listen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtCore import QObject

    from napari_threestage.widgets.session import Session
    from napari_threestage.widgets.stage_choice import StageChoice


PUBLIC = "bioimageio"  # a format that others are told about


class CardForm(QWidget):
    """What people want to know about a segmenter."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = text_field("card_name", "What the segmenter is called", "of the project")
        self._description = QPlainTextEdit()
        self._description.setObjectName("card_description")
        self._description.setToolTip("What it finds, in which kind of images")
        self._description.setTabChangesFocus(True)
        self._description.setFixedHeight(52)
        self._description.setStyleSheet(FIELD_STYLE)
        self._authors = text_field(
            "card_authors", "Who made it, with semicolons between names", "Ada L.; Alan T."
        )
        self._licence = choice_box("What others may do with it, as SPDX names it", "card_licence")
        self._licence.setEditable(True)
        self._licence.addItems(LICENCES)
        self._citation = text_field("card_citation", "What else to cite; semicolons part several")
        self.setLayout(
            form(
                ("Name", self._name),
                ("Description", self._description),
                ("Authors", self._authors),
                ("Licence", self._licence),
                ("Citation", self._citation),
            )
        )

    @property
    def card(self) -> CardText:
        """What stands in the fields."""
        return CardText(
            name=self._name.text().strip(),
            description=" ".join(self._description.toPlainText().split()),
            authors=self._authors.text().strip(),
            licence=self._licence.currentText().strip(),
            citation=self._citation.text().strip(),
        )

    def set_card(self, card: CardText) -> None:
        """Fill the fields."""
        self._name.setText(card.name)
        self._description.setPlainText(card.description)
        self._authors.setText(card.authors)
        self._licence.setCurrentText(card.licence)
        self._citation.setText(card.citation)


class ExportModelBox(QWidget):
    """Format, file and card of the segmenter, and its export.

    Parameters
    ----------
    stages
        Tells which one.
    """

    def __init__(
        self, session: Session, stages: StageChoice, turns: Turns, keeper: QObject
    ) -> None:
        super().__init__()
        self._session, self._stages = session, stages
        self._by_hand = False  # a person named the file
        self._written: Path | None = None  # last
        self._starts = 0
        self._format = choice_box("For whom the file is", "export_format")
        for one in MODEL_FORMATS:
            self._format.addItem(one.title, one.key)
        self._readers = note()
        self._readers.setObjectName("export_readers")
        self._file = PathField("export_file", "The file to write", self._ask_file)
        self._exists = note()
        self._exists.setObjectName("export_exists")
        self.card = CardForm()
        self.about = Disclosure(
            "Name, authors, licence", "What others want to know about it", lambda: self.card
        )
        self.about.button.setObjectName("export_card")
        self.box = CommandBox(
            "Export segmenter",
            "Write the file, load it back and compare what it computes",
            "export",
            "The export",
            self.start,
            turns,
            keeper,
        )
        self.setLayout(
            column(
                form(("Format", self._format)),
                self._readers,
                form(("File", self._file)),
                self._exists,
                self.about,
                self.box,
            )
        )
        self._format.currentIndexChanged.connect(self._on_format)
        self._file.line.textEdited.connect(self._on_edit)
        self._file.line.textChanged.connect(self._update)
        self.box.finished.connect(self._finished)
        stages.changed.connect(self._on_stage)
        listen(self, (session.project_changed, self._on_project))
        self._on_format()
        self._on_project()

    @property
    def _key(self) -> str:
        return str(self._format.currentData())

    def start(self) -> None:
        """Export what is chosen."""
        model, output = self._stages.model, self._file.path
        if model is None or output is None:
            return
        card = self.card.card
        choice = ExportChoice(model, self._key, output, card)
        self._starts += 1
        number = self._starts

        def run(result: object) -> None:
            if number == self._starts and self.box.busy:
                self.box.run(choice.arguments())

        def forget() -> None:
            with suppress(OSError):  # of a project that cannot be written: the file may lie outside
                forget_emptied(model.place, card)

        def failed(error: Exception) -> None:
            if number == self._starts:
                what = f"{type(error).__name__}: {error}"
                self.box.fail(what, "This is a bug; please report it.")

        self.box.prepare("Starting …", self._forget)
        self._session.background(forget, run, failed)

    def _forget(self) -> None:
        self._starts += 1

    def _on_project(self) -> None:
        self.box.drop()
        self._by_hand = False
        project = self._session.project
        self.card.set_card(CardText() if project is None else read_card(project.path))
        self._on_stage()

    def _on_stage(self) -> None:
        model = self._stages.model
        if not self._by_hand:
            kind = format_of(MODEL_FORMATS, self._key)
            self._file.set_path(
                None if model is None else default_file(model.place, model.stage, kind)
            )
        self._update()

    def _on_format(self) -> None:
        kind = format_of(MODEL_FORMATS, self._key)
        self._readers.setText(kind.readers)
        if kind.key == PUBLIC:
            self.about.open()
        if self._by_hand and self._file.path is not None:
            self._file.set_path(_with_suffix(self._file.path, kind.suffix))
        self._on_stage()

    def _on_edit(self) -> None:
        self._by_hand = bool(self._file.line.text().strip())

    def _update(self) -> None:
        news, why = self._about_file(self._file.path)
        self._exists.setText(news)
        self._exists.setVisible(bool(news))
        self.box.set_reason(self._stages.reason or why)

    def _about_file(self, path: Path | None) -> tuple[str, str]:
        """Return what is to be known of the file, and why it cannot be written."""
        if path is None:
            return "", "Name a file."
        try:
            target = file_to_write(path, self._key)
        except ConfigError as error:
            return "", error.message
        return "" if target == self._written else say_existing(target), ""

    def _ask_file(self, start: str) -> str:
        kind = format_of(MODEL_FORMATS, self._key)
        kinds = f"{kind.title} (*{kind.suffix});;All files (*)"
        chosen, _ = QFileDialog.getSaveFileName(self, "Export the segmenter", start, kinds)
        self._by_hand = self._by_hand or bool(chosen)
        return str(chosen)

    def _finished(self, report: Mapping[str, Any]) -> None:
        sentence, checked = say_export(report)
        self._written = Path(report["file"])
        self.box.say("info", sentence, checked, self._written.parent)
        self._update()


def _with_suffix(path: Path, suffix: str) -> Path:
    """Return a file with the ending of another format, where it has that of one."""
    for ending in (*(one.suffix for one in MODEL_FORMATS), ".zip"):
        if path.name.endswith(ending):
            return path.with_name(path.name.removesuffix(ending) + suffix)
    return path

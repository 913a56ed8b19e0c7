"""What changed from stage to stage: which masks, what of it, and how much."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget

from napari_threestage.compare.change_map import BECAME, JUDGED
from napari_threestage.widgets.change_view import DISAGREE, NOTHING, Comparison, comparisons_of
from napari_threestage.widgets.controls import caption, column, note, row, swatch
from napari_threestage.widgets.fields import choice_box
from napari_threestage.widgets.listening import listen

if TYPE_CHECKING:
    from napari_threestage.compare.change_map import ChangeMap, ClassChange, Entry
    from napari_threestage.project_file import LabelClass
    from napari_threestage.widgets.workbench import Workbench

MOST = 8  # classes in the table
GAP = 6  # pixels between the legend and the table
HEAD = (
    "<tr style='color:gray'><td></td><td align=right style='padding-top:{0}px'>gained</td>"
    "<td align=right style='padding-top:{0}px'>lost</td></tr>"
)
SQUARE = "<span style='color:rgb{}'>■</span>"


class ChangeBox(QWidget):
    """Two choices, and below them the legend with shares of the compared pixels."""

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench, self._session, self._view = bench, bench.session, bench.changes
        self._pairs = choice_box("Which masks are compared (G: the next ones)", "change_pair")
        self._what = choice_box("What is shown of the changes", "change_what")
        self._classes: list[LabelClass] = []
        self._offered: list[tuple[Comparison, str]] = []
        self._pairs.activated.connect(self._choose_pair)
        self._what.activated.connect(self._choose_what)
        self._text = _text("change_text")
        self._table = _text("change_legend")
        self._shown = QWidget()
        self._shown.setLayout(row(caption("Shown"), self._what, stretch=1))
        self.setLayout(column(self._pairs, self._shown, self._text, self._table))
        listen(self, (bench.ticked, self._list_pairs))
        listen(self, (self._view.changed, self.sync), (self._session.classes_changed, self.sync))
        self.sync()

    def sync(self) -> None:
        """Show what is compared, and what came of it."""
        self._list_pairs()
        self._list_what()
        columns = self._view.comparison.columns
        self._shown.setVisible(bool(columns))
        comparing, result = self._view.comparison != NOTHING, self._view.result
        self._table.setVisible(comparing and result is not None)
        self._text.setVisible(comparing)
        if comparing and result is None:
            self._text.setText("This image lacks one of these masks.")
        elif result is not None:
            self._text.setText(self._sentence(result))
            self._table.setText(_table(result, legend=self._view.what != BECAME or not columns))

    def _sentence(self, result: ChangeMap) -> str:
        share = _percent(result.changed)
        if self._view.comparison == DISAGREE:
            return f"The stages disagree on {share} of the image."
        sentence = f"{share} of the image changed."
        content = self._session.content
        if self._view.what == JUDGED and content is not None and not content.editor.truth.any():
            sentence += " Nothing is labelled here, so nothing can be judged."
        return sentence

    # --- the choices ------------------------------------------------------------------------------

    def _list_pairs(self) -> None:
        chosen, offered = self._view.comparison, comparisons_of(self._session.content)
        if chosen not in (NOTHING, *offered):
            offered.append(chosen)
        listed = [(one, self._title(one)) for one in (NOTHING, *offered)]
        if listed != self._offered:
            self._offered = listed
            self._pairs.clear()
            self._pairs.addItems([text for _, text in listed])
            self._pairs.setEnabled(len(listed) > 1)
        self._pairs.setCurrentIndex([one for one, _ in listed].index(chosen))

    def _title(self, one: Comparison) -> str:
        if one == NOTHING:
            return "None"
        if one == DISAGREE:
            return "All stages: where they disagree"
        before, after = one.columns
        if before.role == after.role:
            far = " (first → last)" if after.stage - before.stage > 1 else ""
            return f"Stage {before.stage} → {after.stage}{far}"
        return f"{self._bench.layers.title(before)} → {self._session.second.name or 'another run'}"

    def _list_what(self) -> None:
        project = self._session.project
        listed = list(project.classes) if project is not None else []
        if listed != self._classes or not self._what.count():
            self._classes = listed
            self._what.clear()
            self._what.addItem("What it became", BECAME)
            self._what.addItem("Right or wrong", JUDGED)
            for entry in listed:
                self._what.addItem(swatch(entry.color), entry.name, entry.id)
        self._what.setCurrentIndex(max(0, self._what.findData(self._view.what)))

    def _choose_pair(self, place: int) -> None:
        self._view.compare(self._offered[place][0])

    def _choose_what(self, place: int) -> None:
        self._view.choose(self._what.itemData(place))


def _text(name: str) -> QLabel:
    """Return a label that wraps, in the colour of what matters."""
    label = note()
    label.setStyleSheet("")
    label.setObjectName(name)
    label.setTextFormat(Qt.TextFormat.RichText)
    return label


def _table(result: ChangeMap, *, legend: bool) -> str:
    """Return the legend of the colours, and how much of each class came and went."""
    rows = [_legend_row(entry) for entry in result.legend] if legend else []
    shown, rest = result.classes[:MOST], result.classes[MOST:]
    if shown:
        rows.append(HEAD.format(GAP if legend else 0))
        rows += [_class_row(entry) for entry in shown]
    if rest:
        rows.append(f"<tr><td colspan=3>… and {len(rest)} more classes</td></tr>")
    return f"<table width='100%' cellspacing=1>{''.join(rows)}</table>"


def _legend_row(entry: Entry) -> str:
    name = f"{SQUARE.format(entry.color)} {escape(entry.name)}"
    return f"<tr><td>{name}</td><td></td><td align=right>{_percent(entry.share)}</td></tr>"


def _class_row(entry: ClassChange) -> str:
    name = f"{SQUARE.format(entry.color)} {escape(entry.name)}"
    shares = (_percent(entry.gained), _percent(entry.lost))
    cells = "".join(f"<td align=right>{share}</td>" for share in shares)
    return f"<tr><td>{name}</td>{cells}</tr>"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 or not share else "< 0.1 %"

"""The controls that say what to import and how."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QSpinBox,
    QWidget,
)

from napari_threestage.widgets.channel_list import ChannelList
from napari_threestage.widgets.controls import button, column, row
from napari_threestage.widgets.delete_key import DeleteKey
from napari_threestage.widgets.import_choice import ImportChoice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VALUES = {
    "Class numbers from 0": "index",
    "Class numbers from 1 (0 = not labelled)": "one-based",
    "Colours of the classes": "rgb",
}
AS_SUGGESTED = "As suggested"
UNLABELLED = {"255": "255", "No value": "none", "Another value": ""}
SPLITS = {"Training": "train", "Validation only": "validation"}
PATH_ROLE = int(Qt.ItemDataRole.UserRole)


class ImportForm(QWidget):
    """Images, masks and what their values mean."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._suggested: Mapping[str, int] = {}
        self._start = str(Path.home())
        self._make_sources()
        self._make_masks()
        self._make_details()
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        buttons = column(
            button("Folder…", "Add all images of a folder", self._add_folder),
            button("Files…", "Add some images", self._add_files),
            self._remove,
        )
        rows: list[tuple[str, Any]] = [
            ("Images", row(self._images)),
            ("Masks", row(self._masks, self._choose_masks, stretch=0)),
            (
                "Mask values",
                row(self._values, QLabel("Not labelled:"), self._unlabelled, self._other, 1),
            ),
            ("Use for", row(self._split, QLabel("Axes:"), self._axes, self._link, 1)),
        ]
        rows[0][1].addLayout(buttons)
        for number, (text, layout) in enumerate(rows):
            label = QLabel(text)
            grid.addWidget(label, number, 0, Qt.AlignmentFlag.AlignTop)
            grid.addLayout(layout, number, 1)
        self._channel_title = QLabel("Channels")
        self._channel_title.hide()
        grid.addWidget(self._channel_title, len(rows), 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(self.channels, len(rows), 1)
        grid.addWidget(self._replace, len(rows) + 1, 1)
        self.setLayout(grid)

    def _make_sources(self) -> None:
        self._images = QListWidget()
        self._images.setObjectName("import_images")
        self._images.setToolTip("Files and folders; drop more here. Delete takes one away")
        self._images.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        self._images.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._images.setFixedHeight(92)
        self._remove = button("Remove", "Take the selected entries away", self._remove_selected)
        DeleteKey(self._images, self._remove_selected)

    def _make_masks(self) -> None:
        self._masks = QLineEdit()
        self._masks.setObjectName("import_masks")
        self._masks.setPlaceholderText("None, or those beside the images, e.g. a_mask.png")
        self._masks.setToolTip("Folder with a mask for some images, under the same names")
        self._masks.setClearButtonEnabled(True)
        self._choose_masks = button("Folder…", "Choose the folder of the masks", self._ask_masks)
        self._values = _combo("import_values", VALUES, "How the values in a mask name the classes")
        self._unlabelled = _combo(
            "import_unlabelled", UNLABELLED, "The value that means that nothing is known of a pixel"
        )
        self._other = QSpinBox()
        self._other.setObjectName("import_other")
        self._other.setRange(0, 65535)
        self._other.setToolTip("The value that means not labelled")
        self._other.hide()
        self._replace = QCheckBox("Replace labels that are in the project already")
        self._replace.setObjectName("import_replace")
        self._replace.setToolTip("Otherwise labels that are there stay as they are")
        self._replace.hide()
        self._masks.textChanged.connect(self._tell)
        self._values.currentIndexChanged.connect(self._tell)
        self._unlabelled.currentIndexChanged.connect(self._tell)
        self._other.valueChanged.connect(self._tell)
        self._replace.toggled.connect(self._tell)

    def _make_details(self) -> None:
        self._split = _combo(
            "import_split", SPLITS, "Images for validation only judge; nothing is learnt from them"
        )
        self._axes = QLineEdit()
        self._axes.setObjectName("import_axes")
        self._axes.setPlaceholderText("automatic")
        self._axes.setFixedWidth(90)
        self._axes.setToolTip("Axes of files that do not say, e.g. zyx or yxc; empty: automatic")
        self._link = QCheckBox("Link OME-Zarr")
        self._link.setObjectName("import_link")
        self._link.setToolTip(
            "Refer to OME-Zarr 0.5 images where they are instead of copying them; they must stay"
        )
        self.channels = ChannelList()
        self.channels.hide()
        self._split.currentIndexChanged.connect(self._tell)
        self._axes.textChanged.connect(self._tell)
        self._link.toggled.connect(self._tell)
        self.channels.changed.connect(self._tell)

    # --- what was chosen ------------------------------------------------------------------------

    @property
    def choice(self) -> ImportChoice:
        """What stands in the controls."""
        masks = self._masks.text().strip()
        suggested = self._values.currentText() == AS_SUGGESTED
        unlabelled = UNLABELLED[self._unlabelled.currentText()] or str(self._other.value())
        return ImportChoice(
            images=tuple(self._paths()),
            masks=Path(masks).expanduser() if masks else None,
            mask_values=self._suggested if suggested else VALUES[self._values.currentText()],
            unlabelled=unlabelled,
            split=SPLITS[self._split.currentText()],
            link=self._link.isChecked(),
            axes=self._axes.text().strip(),
            channels=tuple(self.channels.chosen) if not self.channels.isHidden() else (),
            replace=self._replace.isChecked(),
        )

    def add(self, paths: Sequence[Path], masks: Path | None = None) -> None:
        """Add images, and masks where they are given."""
        known = set(self._paths())
        for path in paths:
            if path not in known:
                item = QListWidgetItem(str(path))
                item.setData(PATH_ROLE, str(path))
                item.setToolTip(str(path))
                self._images.addItem(item)
        if masks is not None:
            self._masks.setText(str(masks))
        if paths:
            self._start = str(paths[-1].parent)
        self._tell()

    def take(self, suggestion: Mapping[str, Any]) -> None:
        """Read masks as was suggested."""
        values, unlabelled = suggestion["mask_values"], suggestion["unlabelled_value"]
        self.blockSignals(True)
        if isinstance(values, str):
            self._values.setCurrentIndex(list(VALUES.values()).index(values))
        else:
            self._suggested = values
            if self._values.findText(AS_SUGGESTED) < 0:
                self._values.addItem(AS_SUGGESTED)
            self._values.setCurrentText(AS_SUGGESTED)
            said = ", ".join(
                f"{value} → {label or 'not labelled'}" for value, label in values.items()
            )
            self._values.setItemData(self._values.currentIndex(), said, Qt.ItemDataRole.ToolTipRole)
        text = "none" if unlabelled is None else str(unlabelled)
        places = list(UNLABELLED.values())
        self._unlabelled.setCurrentIndex(places.index(text) if text in places else len(places) - 1)
        if text.isdigit():
            self._other.setValue(int(text))
        self.blockSignals(False)
        self._tell()

    def offer_channels(self, names: Sequence[str]) -> None:
        """Let a person choose channels, where there are more than are taken without asking."""
        if names and self.channels.isHidden():
            self.channels.offer(names, ())
            self.channels.show()
            self._channel_title.show()

    def offer_replacing(self, wanted: bool) -> None:
        """Let a person choose what becomes of labels that are there already."""
        self._replace.setVisible(wanted or self._replace.isChecked())

    # --- what a person does -----------------------------------------------------------------------

    def _paths(self) -> list[Path]:
        items = [self._images.item(at) for at in range(self._images.count())]
        return [Path(item.data(PATH_ROLE)) for item in items if item is not None]

    def _tell(self, *unused: object) -> None:
        self._other.setVisible(not UNLABELLED[self._unlabelled.currentText()])
        if not self.signalsBlocked():
            self.changed.emit()

    def _add_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of images", self._start)
        if chosen:
            self.add([Path(chosen)])

    def _add_files(self) -> None:
        # Only now: what reads the files takes a moment to load.
        from napari_threestage.ingest import IMAGE_SUFFIXES

        kinds = " ".join(f"*{suffix}" for suffix in sorted(IMAGE_SUFFIXES))
        chosen, _ = QFileDialog.getOpenFileNames(
            self, "Images", self._start, f"Images ({kinds});;All files (*)"
        )
        if chosen:
            self.add([Path(one) for one in chosen])

    def _ask_masks(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of masks", self._start)
        if chosen:
            self._masks.setText(chosen)

    def _remove_selected(self) -> None:
        for item in self._images.selectedItems():
            self._images.takeItem(self._images.row(item))
        self._tell()


def _combo(name: str, entries: Mapping[str, str], tip: str) -> QComboBox:
    made = QComboBox()
    made.setObjectName(name)
    made.addItems(list(entries))
    made.setToolTip(tip)
    return made

"""Which channels are used, and how their values become bytes; shown where that is a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QLabel, QWidget

from napari_threestage.errors import ThreeStageError
from napari_threestage.widgets.channel_list import ChannelList
from napari_threestage.widgets.controls import column, row
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.project_changes import change_project

if TYPE_CHECKING:
    from napari_threestage.project import Project
    from napari_threestage.widgets.session import Session

Method = Literal["auto", "range", "percentile"]
METHODS: dict[str, Method] = {
    "Automatic": "auto",
    "Range of the data type": "range",
    "Percentiles of each plane": "percentile",
}
USUAL = 3  # channels that nobody has to choose from


class ChannelBox(QWidget):
    """Channels and normalisation of the project.

    Parameters
    ----------
    session
        Whose project is changed.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._list = ChannelList()
        self._list.changed.connect(self._set_channels)
        self._method = QComboBox()
        self._method.setObjectName("normalisation")
        self._method.setToolTip(
            "How pixel values become 0..255 for the network. Automatic: bytes as they are, all "
            "others from the 0.1st to the 99.9th percentile"
        )
        self._method.addItems(list(METHODS))
        self._method.activated.connect(self._set_method)
        self._title = QLabel("Channels to use")
        self.setLayout(
            column(self._title, self._list, row(QLabel("Brightness"), self._method, stretch=1))
        )
        listen(
            self,
            (session.project_changed, self._update),
            (session.images_changed, self._update),
        )
        self._update()

    def _update(self) -> None:
        project = self._session.project
        records = [] if project is None else list(project.images.values())
        most = max((one.channels for one in records), default=0)
        several = most > USUAL or (project is not None and project.channels is not None)
        deep = any(one.dtype not in ("uint8", "bool") for one in records)
        self.setVisible(bool(records) and (several or deep))
        if project is None or not records:
            return
        self._title.setVisible(several)
        self._list.setVisible(several)
        if several:
            chosen = range(most) if project.channels is None else project.channels
            self._list.offer(_names(project, most), list(chosen))
        methods: list[str] = list(METHODS.values())
        self._method.setCurrentIndex(methods.index(project.normalisation))
        for one in (self._list, self._method):
            one.setEnabled(self._session.writable)

    def _set_channels(self) -> None:
        chosen = self._list.chosen
        if not chosen:
            self._session.say("At least one channel has to be used.", level="warning")
        else:
            wanted = None if len(chosen) == self._list.count() else chosen
            change_project(self._session, lambda project: project.set_channels(wanted))
        # Not at once: the list is still telling about the tick.
        QTimer.singleShot(0, self._update)

    def _set_method(self, place: int) -> None:
        method = METHODS[self._method.itemText(place)]
        change_project(self._session, lambda project: project.set_normalisation(method))


def _names(project: Project, count: int) -> list[str]:
    """Return the names of the channels of the first image that has all of them."""
    for image_id, record in project.images.items():
        if record.channels == count:
            try:
                names = list(project.read_image(image_id).channel_names)
            except ThreeStageError:
                break
            return names if len(names) == count else [""] * count
    return [""] * count

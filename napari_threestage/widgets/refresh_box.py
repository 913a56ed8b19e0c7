"""Asks a command for a document about the project, and again when that is out of date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_threestage.widgets.command_box import CommandBox, Turns
from napari_threestage.widgets.controls import note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtCore import QObject

    from napari_threestage.widgets.session import Session


class RefreshBox(CommandBox):
    """Progress and errors of the command; a button where there is a reason to ask again.

    Parameters
    ----------
    name
        Begins the names of the controls.
    doing
        What goes on, as people call it: "The comparison".
    start
        Called when the button is pressed; it calls `ask`.
    keeper
        Outlives this widget and owns the child.
    """

    def __init__(
        self, session: Session, name: str, doing: str, start: Callable[[], None], keeper: QObject
    ) -> None:
        self._wanted = False
        super().__init__("Refresh", "Compute it anew", name, doing, start, Turns(), keeper)
        self._start.setStyleSheet("")  # it is not what the part is about
        self._session = session
        self._stale = note()
        self._stale.setObjectName(f"{name}_stale")
        self.layout().insertWidget(0, self._stale)
        self.rest()

    def offer(self, why: str = "") -> None:
        """Offer to ask again, and say why."""
        self._wanted = True
        self._stale.setText(why)
        self._stale.setVisible(bool(why))
        self._update()

    def rest(self) -> None:
        """Offer nothing: what is shown is up to date, or nothing can be asked for."""
        self._wanted = False
        self._stale.hide()
        self._update()

    def ask(self, arguments: Sequence[str]) -> None:
        """Run the command; what was painted is saved first."""
        self.rest()
        self.run_saved(self._session, arguments, "nothing was computed")

    def _update(self) -> None:
        super()._update()
        self._start.setVisible(self._wanted and not self.busy)

"""Work that takes longer than a frame, off the event loop; results come back to it."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_threestage.errors import ThreeStageError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


class Background(QObject):
    """Runs functions one after the other in a thread and hands their results to this one.

    Parameters
    ----------
    failed
        Called in this thread with what a function raised, unless it came with its own.
    """

    _ended = Signal(object, object)

    def __init__(self, failed: Callable[[Exception], None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._failed = failed
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="threestage")
        self._ended.connect(_hand_over)

    def __call__(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None] = lambda result: None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Run `work` in the thread, then `done` with its result in this one."""

        def run() -> None:
            try:
                result = work()
            except Exception as error:
                if not isinstance(error, ThreeStageError):
                    log.exception("A task in the background failed")
                self._ended.emit(failed or self._failed, error)
            else:
                self._ended.emit(done, result)

        self._pool.submit(run)

    def close(self) -> None:
        """Drop what has not begun and wait for what has."""
        self._ended.disconnect(_hand_over)
        self._pool.shutdown(wait=True, cancel_futures=True)


def _hand_over(receiver: Callable[[Any], None], result: object) -> None:
    receiver(result)

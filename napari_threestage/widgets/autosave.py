"""What a person paints reaches the disk within a second, in order, and whatever happens to us."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from napari_threestage import journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.journal import Block
    from napari_threestage.project import Project

log = logging.getLogger(__name__)
RETRY_SECONDS = 2.0


class Autosave:
    """Writes strokes to the journal and folds journals into label sets, in a thread of its own.

    A stroke that cannot be written (a full disk) is kept and tried again; `problem` says so
    meanwhile.  A journal that cannot be folded stays, and is folded the next time; `unfolded` holds
    the reason, by image.

    Parameters
    ----------
    project
        The project, whose lock for editing is held.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._tasks: deque[tuple[str, Callable[[], object]]] = deque()
        self._changed = threading.Condition()
        self._ending = False
        self.problem = ""
        self.unfolded: dict[str, Exception] = {}
        self._thread = threading.Thread(target=self._work, name="threestage-autosave", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether everything is on disk."""
        return not self._tasks

    def add(self, image_id: str, block: Block) -> None:
        """Put a change of an image's ground truth on the way to its journal."""
        self._put(image_id, lambda: journal.append(self._project.path, image_id, block))

    def fold(self, image_id: str) -> None:
        """Put what the journal of an image holds on the way to its label set."""
        self._put(image_id, lambda: self._try_fold(image_id))

    def wait(self, seconds: float, image_id: str | None = None) -> bool:
        """Wait until everything (of an image) is on disk; false when that did not come about."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open(image_id), seconds)

    def _try_fold(self, image_id: str) -> None:
        try:
            journal.fold(self._project, image_id)
        except Exception as error:  # the strokes are safe in the journal
            log.warning("The journal of %s stays: %s", image_id, error)
            self.unfolded[image_id] = error

    def abandon(self) -> None:
        """End the thread, whatever is not written yet."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def close(self, seconds: float = 10.0) -> bool:
        """End the thread when everything is written; false, and it goes on, when it is not."""
        if not self.wait(seconds):
            return False
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join()
        return True

    def _open(self, image_id: str | None) -> bool:
        return any(image_id in (None, owner) for owner, _ in self._tasks)

    def _put(self, image_id: str, task: Callable[[], object]) -> None:
        with self._changed:
            self._tasks.append((image_id, task))
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._tasks or self._ending)
                if self._ending:
                    return
                task = self._tasks[0][1]
            try:
                task()
            except Exception as error:  # whatever it is, the labels are still here
                log.warning("Labels could not be saved: %s", error)
                self.problem = str(error)
                with self._changed:
                    self._changed.wait_for(lambda: self._ending, RETRY_SECONDS)
                continue
            self.problem = ""
            with self._changed:
                self._tasks.popleft()
                self._changed.notify_all()

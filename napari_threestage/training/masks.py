"""What a stage thinks of all images: its pseudo-masks and its scores."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_threestage.compare import Confusion, Scores
from napari_threestage.events import Event, Predicted
from napari_threestage.training.data import frozen_truth, present_truth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    import numpy as np

    from napari_threestage.inference.segmenter import Segmenter
    from napari_threestage.project import Project
    from napari_threestage.runs import Run
    from napari_threestage.stages import StageSpec

WRITERS = 2
WAITING = 2**24  # pixels of masks that may wait to be written; larger ones are written at once


@dataclass(frozen=True, eq=False)
class _Mask:
    """A mask that is being written, and what to say when it is."""

    mask: np.ndarray
    job: Future[None]
    event: Predicted


class MaskWriter:
    """Predicts with the segmenter of a finished stage.

    Parameters
    ----------
    project, run
        Where images and labels come from; both get the masks.
    emit
        Called with the events.
    obey
        Called before every plane; holds when the run is paused, raises to end.
    """

    def __init__(
        self,
        project: Project,
        run: Run,
        emit: Callable[[Event], None],
        obey: Callable[[], None],
    ) -> None:
        self._project, self._run = project, run
        self._emit, self._obey = emit, obey

    def write_masks(self, spec: StageSpec, segmenter: Segmenter) -> Scores:
        """Write ŷ of every image of L and U; return the scores on the labelled ones.

        Masks are written while the next ones are predicted.
        """
        image_ids = sorted(self._run.inputs.images)
        confusion, waiting = self._confusion(), deque[_Mask]()
        with ThreadPoolExecutor(WRITERS) as pool:
            try:
                for number, image_id in enumerate(image_ids, start=1):
                    self._obey()
                    mask, confidence = self._predict(spec, segmenter, image_id)
                    job = pool.submit(self._write, spec, image_id, mask, confidence)
                    event = Predicted(
                        stage=spec.number, image=image_id, done=number, total=len(image_ids)
                    )
                    waiting.append(_Mask(mask, job, event))
                    while len(waiting) > WRITERS or sum(one.mask.size for one in waiting) > WAITING:
                        self._finish(waiting.popleft(), confusion)
                while waiting:
                    self._finish(waiting.popleft(), confusion)
            finally:  # before a stop, too: a mask that could not be written is not kept quiet
                for one in waiting:
                    one.job.result()
        return confusion.scores()

    def write_share(self, spec: StageSpec, segmenter: Segmenter, image_ids: Sequence[str]) -> None:
        """Write ŷ of some images into the run's folder, where `write_masks` finds them."""
        for image_id in image_ids:
            self._obey()
            mask, confidence = self._predict(spec, segmenter, image_id)
            if confidence is not None:
                self._keep(spec, image_id, mask, confidence)

    def _predict(
        self, spec: StageSpec, segmenter: Segmenter, image_id: str
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return a mask and its confidence; None instead of that where both are written already."""
        if self._run.has_mask(spec.number, image_id):
            return self._run.read_mask(spec.number, image_id), None
        return segmenter.predict(self._project.read_image(image_id), self._obey)

    def _write(
        self, spec: StageSpec, image_id: str, mask: np.ndarray, confidence: np.ndarray | None
    ) -> None:
        if confidence is not None:
            self._keep(spec, image_id, mask, confidence)
        run, origin = self._run, {"run": self._run.id, "stage": spec.number}
        self._project.write_labels(image_id, spec.name, mask, origin, class_ids=run.class_ids)

    def _keep(
        self, spec: StageSpec, image_id: str, mask: np.ndarray, confidence: np.ndarray
    ) -> None:
        axes = self._project.images[image_id].axes.replace("c", "")
        self._run.write_mask(spec.number, image_id, mask, confidence, axes)

    def _finish(self, one: _Mask, confusion: Confusion) -> None:
        """Wait until a mask is on disk, compare it with the truth, say that it is there."""
        one.job.result()
        if one.event.image in self._run.inputs.labels:
            truth = frozen_truth(self._project, self._run, one.event.image)
            if truth is not None:
                confusion.add(truth, one.mask)
        self._emit(one.event)

    def validate(self, segmenter: Segmenter) -> Scores | None:
        """Return the scores on the project's validation images, if it has any."""
        project, confusion = self._project, self._confusion()
        for image_id, record in sorted(project.images.items()):
            validates = record.split == "validation"
            truth = present_truth(project, self._run, image_id) if validates else None
            if truth is not None:
                self._obey()
                confusion.add(truth, segmenter.predict(project.read_image(image_id))[0])
        return confusion.scores() if confusion.matrix.any() else None

    def _confusion(self) -> Confusion:
        return Confusion([entry["name"] for entry in self._run.inputs.classes])

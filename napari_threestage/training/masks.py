"""What a stage thinks of all images: its pseudo-masks, its statistics and its scores."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_threestage import image_statistics
from napari_threestage.compare import Confusion, Scores
from napari_threestage.events import Event, Predicted
from napari_threestage.labels import publish_mask
from napari_threestage.training.data import frozen_truth, present_truth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    import numpy as np

    from napari_threestage.project import Project
    from napari_threestage.runs import Run
    from napari_threestage.stages import StageSpec
    from napari_threestage.training.witness import Seen, Witness

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
        self._appending = threading.Lock()

    @property
    def images(self) -> list[str]:
        """The images that get masks: those of L and U, then those that only judge."""
        images = self._project.images
        judging = {i for i, record in images.items() if record.split == "validation"}
        return [*sorted(self._run.inputs.images), *sorted(judging - self._run.inputs.images.keys())]

    def write_masks(self, spec: StageSpec, witness: Witness) -> dict[str, Scores]:
        """Write ŷ of every image; return the scores on the labelled and the validation images.

        Masks are written while the next ones are predicted.
        """
        images, known = self.images, image_statistics.described(self._run, spec.number)
        confusions = {name: self._confusion() for name in ("labelled", "validation")}
        waiting = deque[_Mask]()
        with ThreadPoolExecutor(WRITERS) as pool:
            try:
                for number, image_id in enumerate(images, start=1):
                    self._obey()
                    mask, seen = self._see(spec, witness, image_id, image_id in known)
                    job = pool.submit(self._write, spec, image_id, mask, seen)
                    event = Predicted(
                        stage=spec.number, image=image_id, done=number, total=len(images)
                    )
                    waiting.append(_Mask(mask, job, event))
                    while len(waiting) > WRITERS or sum(one.mask.size for one in waiting) > WAITING:
                        self._finish(waiting.popleft(), confusions)
                while waiting:
                    self._finish(waiting.popleft(), confusions)
            finally:  # before a stop, too: a mask that could not be written is not kept quiet
                for one in waiting:
                    one.job.result()
        found = {name: confusion.scores() for name, confusion in confusions.items()}
        return {name: one for name, one in found.items() if name == "labelled" or one.pixels}

    def write_share(
        self, spec: StageSpec, witness: Witness, image_ids: Sequence[str], rank: int
    ) -> None:
        """Write ŷ of some images into the run's folder, where `write_masks` finds them."""
        known = image_statistics.described(self._run, spec.number)
        for image_id in image_ids:
            self._obey()
            mask, seen = self._see(spec, witness, image_id, image_id in known)
            if seen is not None:
                self._keep(spec, image_id, mask, seen, f"images-{rank}.jsonl")

    def _see(
        self, spec: StageSpec, witness: Witness, image_id: str, known: bool
    ) -> tuple[np.ndarray, Seen | None]:
        """Return a mask and all that was seen; None instead of that where all is kept already."""
        if known and self._run.has_mask(spec.number, image_id):
            return self._run.read_mask(spec.number, image_id), None
        seen = witness.look(self._project.read_image(image_id), self._obey)
        return seen.mask, seen

    def _write(self, spec: StageSpec, image_id: str, mask: np.ndarray, seen: Seen | None) -> None:
        if seen is not None:
            self._keep(spec, image_id, mask, seen, "images.jsonl")
        publish_mask(self._project, self._run, spec.number, image_id, mask)

    def _keep(
        self, spec: StageSpec, image_id: str, mask: np.ndarray, seen: Seen, file: str
    ) -> None:
        """Write mask and confidence into the run, then the line that says what is in them."""
        run, number = self._run, spec.number
        axes = self._project.images[image_id].axes.replace("c", "")
        run.write_mask(number, image_id, mask, seen.confidence, axes)
        line = image_statistics.describe_in(
            run, number, image_id, mask, seen.confidence, seen.inconsistency, seen.features
        )
        with self._appending:
            image_statistics.append(run.stage_path(number) / file, [line])

    def _finish(self, one: _Mask, confusions: dict[str, Confusion]) -> None:
        """Wait until a mask is on disk, compare it with the truth, say that it is there."""
        one.job.result()
        image_id, truth, on = one.event.image, None, "labelled"
        if image_id in self._run.inputs.labels:
            truth = frozen_truth(self._project, self._run, image_id)
        elif image_id not in self._run.inputs.images:
            truth, on = present_truth(self._project, self._run, image_id), "validation"
        if truth is not None:
            confusions[on].add(truth, one.mask)
        self._emit(one.event)

    def _confusion(self) -> Confusion:
        return Confusion([entry["name"] for entry in self._run.inputs.classes])

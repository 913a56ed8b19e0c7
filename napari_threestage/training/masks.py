"""What a stage thinks of all images: its pseudo-masks and its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_threestage.compare import Confusion, Scores
from napari_threestage.events import Event, Predicted
from napari_threestage.training.data import frozen_truth, present_truth

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.inference.segmenter import Segmenter
    from napari_threestage.project import Project
    from napari_threestage.runs import Run
    from napari_threestage.stages import StageSpec


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
        """Write ŷ of every image of L and U; return the scores on the labelled ones."""
        run, confusion = self._run, self._confusion()
        image_ids = sorted(run.inputs.images)
        origin = {"run": run.id, "stage": spec.number}
        for number, image_id in enumerate(image_ids, start=1):
            self._obey()
            self._predict(spec, segmenter, image_id)
            mask = run.read_mask(spec.number, image_id)
            self._project.write_labels(image_id, spec.name, mask, origin, class_ids=run.class_ids)
            if image_id in run.inputs.labels:
                truth = frozen_truth(self._project, run, image_id)
                if truth is not None:
                    confusion.add(truth, mask)
            self._emit(
                Predicted(stage=spec.number, image=image_id, done=number, total=len(image_ids))
            )
        return confusion.scores()

    def _predict(self, spec: StageSpec, segmenter: Segmenter, image_id: str) -> None:
        if self._run.has_mask(spec.number, image_id):
            return
        image = self._project.read_image(image_id)
        mask, confidence = segmenter.predict(image, self._obey)
        axes = self._project.images[image_id].axes.replace("c", "")
        self._run.write_mask(spec.number, image_id, mask, confidence, axes)

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

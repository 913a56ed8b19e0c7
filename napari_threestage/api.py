"""What scripts and notebooks use: a segmenter on arrays, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.segmenter_info import SHARE

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import numpy as np

    from napari_threestage.inference.segmenter import Prediction, Segmenter


def load_segmenter(path: str | os.PathLike[str], device: str = "auto") -> Segmenter:
    """Load a segmenter from what ``threestage export`` wrote, or from a run's stage.

    Parameters
    ----------
    path
        A ``.safetensors`` file, a BioImage package (``.zip``), ``model.safetensors`` of a stage, or
        a project, whose latest run's last stage is taken.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises
    ------
    ImageFileError
        The file is no segmenter, or it is damaged, malicious or newer than this program.
    ConfigError
        There is no such device.
    ProjectError
        The project has no run.
    """
    from napari_threestage.inference.device import choose_device
    from napari_threestage.inference.segmenter import load_segmenter as load

    file = Path(path)
    if file.is_dir():
        from napari_threestage.project import Project
        from napari_threestage.runs import find_run

        run = find_run(Project(file))
        file = run.model_path(max(run.finished_stages(), default=1))
    return load(file, choose_device(device))


def predict(
    segmenter: Segmenter | str | os.PathLike[str],
    image: np.ndarray,
    axes: str | None = None,
    *,
    probabilities: bool = False,
    empty: float | None = None,
    **settings: Any,
) -> Prediction:
    """Segment an array.

    >>> mask, confidence, _ = predict("cells.safetensors", image)

    Parameters
    ----------
    segmenter
        What `load_segmenter` gave, or a file for it.
    image
        Integers or floats with the axes `axes`.
    axes
        A letter for each, out of t, c, z, y and x; guessed as of an image file if not given.
    probabilities
        Return those of all classes as well.
    empty
        Leave out tiles in which all pixels have this value.
    settings
        Such as ``flips=True``, ``tile=512``, ``channels=[0, 2]`` or ``magnify=2`` (for structures
        half as large as in the training), see `Segmenter.adjusted`.

    Returns
    -------
    Prediction
        Mask and confidence with the axes t, z, y, x that the image has, and the probabilities; all
        uint8. Classes count from 1.

    Raises
    ------
    ImageFileError
        The axes make no sense, or the image has other channels than the segmenter takes.
    ConfigError
        A setting makes no sense.
    """
    from napari_threestage.inference.blending import Wanted
    from napari_threestage.inference.segmenter import Segmenter
    from napari_threestage.ingest import image_of

    found = segmenter if isinstance(segmenter, Segmenter) else load_segmenter(segmenter)
    if settings:
        found = found.adjusted(**settings)
    return found.predict_all(image_of(image, axes), Wanted(probabilities, empty))


def adapt(
    segmenter: Segmenter | str | os.PathLike[str],
    images: Sequence[np.ndarray],
    axes: str | None = None,
    *,
    share: float = SHARE,
) -> Segmenter:
    """Return a segmenter for images of another kind than it has learned from; no labels needed.

    >>> predict(adapt("cells.safetensors", images), images[0])

    Parameters
    ----------
    segmenter
        What `load_segmenter` gave, or a file for it; it stays as it is.
    images
        Arrays of that kind, as `predict` takes them; some dozens are better than a few.
    axes
        See `predict`.
    share
        How far to go, above 0 and up to 1, where nothing is left of its own statistics.

    Raises
    ------
    ImageFileError
        The axes make no sense, or an image has other channels than the segmenter takes.
    ConfigError
        There are no images, the share is none, or the network has no batch norm.
    """
    import numpy as np

    from napari_threestage.inference.adapting import adapted, check_adaptable, draw_windows, some_of
    from napari_threestage.inference.segmenter import Segmenter
    from napari_threestage.ingest import image_of

    found = segmenter if isinstance(segmenter, Segmenter) else load_segmenter(segmenter)
    check_adaptable(found, share)
    rng = np.random.default_rng(0)
    some = some_of(images, rng)
    windows = [draw_windows(found, image_of(image, axes), len(some), rng) for image in some]
    return adapted(found, windows, share)

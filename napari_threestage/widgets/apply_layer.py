"""Applies a segmenter to a layer: hands it over as a file, runs the command, reads the mask."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import psutil

from napari_threestage.errors import ImageFileError, Stopped
from napari_threestage.export_choice import ApplyChoice, Model, Switches
from napari_threestage.export_report import say_pixels
from napari_threestage.layer_file import layer_problem, read_map, read_mask, write_layer
from napari_threestage.model_file import channel_problem, read_model_file
from napari_threestage.widgets.result_layers import Found

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_threestage.segmenter_info import SegmenterInfo
    from napari_threestage.widgets.layer_source import LayerSource


@dataclass(eq=False)
class LayerTask:
    """One application to a layer; `make` and `read` may take long, and run in a thread.

    Attributes
    ----------
    model_path
        The file of the segmenter.
    axes
        Of the layer.
    magnify
        The segmenter sees it so many times as large.
    hint
        What the command said of its pixels.
    """

    model: Model
    model_path: Path
    source: LayerSource
    axes: str
    switches: Switches
    magnify: float = 1.0
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _folder: TemporaryDirectory[str] | None = field(default=None, init=False)
    _info: SegmenterInfo | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        # Now, for the layer may be moved or renamed while the command works.
        self.hint = ""
        self.name = f"{self.source.name} – {self.model.title}"
        self.place = self.source.place(self.axes)
        self._pixels = None if self.source.path else self.source.pixels(self.axes)

    def stop(self) -> None:
        """Have `make` end soon."""
        self._stop.set()

    def make(self) -> list[str]:
        """Put the pixels into a file and return the command; nothing after `stop`.

        Raises
        ------
        ThreeStageError
            The layer does not fit the segmenter, or is too large.
        """
        try:
            return self._make()
        except Stopped:
            return []

    def _make(self) -> list[str]:
        self._info = read_model_file(self.model_path)
        self._folder = TemporaryDirectory(prefix="threestage-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        if problem := self._problem(self._info, folder):
            raise ImageFileError(f"{self.source.name} cannot be segmented. {problem}")
        image = self.source.path or folder / "layer.npy"
        if self._pixels is not None:
            write_layer(image, self._pixels, self._check)
        choice = ApplyChoice(
            model=self.model,
            images=(image,),
            output=folder / "masks",
            axes="" if self._pixels is None else self._pixels.file_axes,
            switches=self.switches,
            magnify=self.magnify,
        )
        return choice.arguments()

    def _problem(self, info: SegmenterInfo, folder: Path) -> str:
        if self._pixels is None:
            return channel_problem(info, self.source.channels)
        free = shutil.disk_usage(folder).free, psutil.virtual_memory().available
        return channel_problem(info, self._pixels.channels) or layer_problem(self._pixels, *free)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def read(self, report: Mapping[str, Any]) -> Found:
        """Return what was found.

        Raises
        ------
        ImageFileError
            Nothing was, or it cannot be read.
        """
        if not report["files"] or self._info is None:
            reasons = " ".join(str(reason) for _, reason in report.get("failed", ()))
            raise ImageFileError(f"{self.source.name} could not be segmented. {reasons}")
        self.hint = say_pixels(report)
        shape = self.source.mask_shape if self._pixels is None else self._pixels.mask_shape
        mask = read_mask(Path(report["files"][0]), shape, self.axes)
        sure = report.get("confidence") or []
        confidence = read_map(Path(sure[0]), shape, self.axes) if sure else None
        return Found(mask, self._info.classes, confidence)

    def clean(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            self._folder.cleanup()

"""From a stage of a run to a file that has been proved, and a record beside it."""

from __future__ import annotations

import glob
import hashlib
import json
import re
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from napari_threestage.errors import ConfigError
from napari_threestage.export import bioimageio_package, onnx_file, pt2, safetensors_file
from napari_threestage.export.card import CardText, make_card, remember_text, remembered_text
from napari_threestage.export.formats import with_suffix
from napari_threestage.export.material import gather_material
from napari_threestage.export.network import size_multiple
from napari_threestage.export.verify import TOLERANCE, prove
from napari_threestage.files import beside, share_as_usual, write_json
from napari_threestage.inference.segmenter import load_segmenter
from napari_threestage.segmenter_info import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_threestage.export.material import Material
    from napari_threestage.export.verify import Proof
    from napari_threestage.project import Project
    from napari_threestage.runs import Run

WRITERS: dict[str, Callable[[Material, Path], Any]] = {
    "safetensors": safetensors_file.write,
    "pt2": pt2.write,
    "onnx": onnx_file.write,
    "bioimageio": bioimageio_package.write,
}
NEEDS: dict[str, Callable[[], Any]] = {
    "onnx": onnx_file.require_packages,
    "bioimageio": bioimageio_package.require_packages,
}


@dataclass(frozen=True)
class Wanted:
    """What is to be exported, and where to.

    Attributes
    ----------
    format_
        A name of `formats.SUFFIXES`.
    output
        The file; the suffix of the format is added where it has none.
    device
        Where the original is computed that the export is compared with.
    """

    stage: int
    format_: str
    output: Path
    text: CardText
    device: torch.device


def export_segmenter(
    project: Project, run: Run, wanted: Wanted, show: Callable[[str], None] = lambda step: None
) -> dict[str, Any]:
    """Write a file, let another process prove it, and only then put it in its place.

    Parameters
    ----------
    show
        Called with ``exporting`` and ``checking``.

    Returns
    -------
    What was exported and how it was proved; most of it is in the record beside the file too.

    Raises
    ------
    ThreeStageError
        Something is missing, the file would replace a foreign one, or it was not proved.
    """
    target = with_suffix(wanted.output, wanted.format_)
    record = target.with_name(f"{target.name}.json")
    _refuse_foreign(target, record)
    NEEDS.get(wanted.format_, lambda: None)()
    text = remembered_text(project, wanted.text)
    show("exporting")
    material = _material(project, run, wanted, text)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_older(target)
    folder = beside(target)
    folder.mkdir()
    try:
        file = folder / target.name
        WRITERS[wanted.format_](material, file)
        show("checking")
        (folder / "check").mkdir()
        proof = prove(material, wanted.format_, file, folder / "check")
        found = _record(wanted, run, material, proof, file)
        share_as_usual(file)
        # First, with what is replaced, so that the file is known as ours at any moment.
        write_json(record, {**found, "replaces": file_hash(target) if target.exists() else None})
        file.replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    shown = {name: value for name, value in found.items() if name != "description"}
    warning = _remember(project, text)
    return {"file": str(target), **shown, "record": str(record), "warning": warning}


def _remember(project: Project, text: CardText) -> str:
    """Keep what was said; return why that cannot be, empty if it can."""
    try:
        remember_text(project, text)
    except OSError as error:
        return f"Name, authors and licence are not remembered ({error.strerror})."
    return ""


def _remove_older(target: Path) -> None:
    """Remove what exports to this file left that were killed."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*"):
        if re.fullmatch(r"[0-9a-f]{8}", path.name.rpartition(".")[2]) and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


def _material(project: Project, run: Run, wanted: Wanted, text: CardText) -> Material:
    segmenter = load_segmenter(run.model_path(wanted.stage), torch.device("cpu"))
    multiple = size_multiple(segmenter.network)
    card = make_card(project, run, wanted.stage, text, multiple)
    segmenter.info = replace(segmenter.info, format=FORMAT, card=card)
    return gather_material(project, run, segmenter, multiple, wanted.device)


def _record(
    wanted: Wanted, run: Run, material: Material, proof: Proof, file: Path
) -> dict[str, Any]:
    info = material.segmenter.info
    return {
        "format": wanted.format_,
        "stage": wanted.stage,
        "run": run.id,
        "image": material.image,
        "largest_difference": proof.difference,
        "tolerance": TOLERANCE,
        "checked_with": proof.checked_with,
        "sha256": file_hash(file),
        "bytes": file.stat().st_size,
        "created": info.card.created if info.card else "",
        "description": json.loads(info.to_json()),
    }


def _refuse_foreign(target: Path, record: Path) -> None:
    """Raise `ConfigError` where something else than an earlier export would be replaced."""
    if not target.exists() and not record.exists():
        return
    try:
        noted = json.loads(record.read_text())
        known = (noted["sha256"], noted.get("replaces"))
        ours = not target.exists() or file_hash(target) in known
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        there = target if target.exists() else record
        raise ConfigError(
            f"{there} is there already and is no export that this program wrote.",
            "Choose another file with --output, or remove it.",
        )


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

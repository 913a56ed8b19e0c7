"""How the run was made, so that it can be described, cited and repeated."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from napari_threestage import __version__
from napari_threestage.report.markup import (
    Html,
    element,
    folded,
    joined,
    paragraph,
    table,
)
from napari_threestage.report.material import changes, file_hash, joint_hash, recipe
from napari_threestage.report.methods import PAPER, PAPER_URL, bibtex, methods_text
from napari_threestage.report.wording import counted, size
from napari_threestage.settings import value_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_threestage.report.material import Material

MOST_HASHES = 200  # of images that are listed one by one


def methods(material: Material) -> Html:
    """Return the paragraph for a paper, and what to cite."""
    version = material.inputs.versions.get("napari-threestage", __version__)
    paper = joined(["[1] ", PAPER, " ", element("a", PAPER_URL, href=PAPER_URL)])
    software = f"[2] napari-threestage {version}, the napari-threestage developers, BSD-3-Clause."
    text = methods_text(material)
    unfinished = len(material.run.finished_stages()) < material.inputs.last_stage
    about = "Made from the settings of this run, to be pasted into a paper"
    about += ", about the stages that are finished:" if unfinished else ":"
    return joined(
        [
            paragraph(about if text else "No stage is finished yet."),
            element("blockquote", text, id="methods-text") if text else None,
            paragraph(paper, class_="reference"),
            paragraph(software, class_="reference"),
            folded("BibTeX", element("pre", bibtex(version))),
        ]
    )


def configuration(material: Material) -> Html:
    """Return what differs from the preset, and all settings when they are asked for."""
    config, inputs = material.config, material.inputs
    share = len(inputs.labels) / max(1, len(inputs.images))
    found = changes(config, share)
    rows = [
        tuple(element("code", one) for one in (name, value_text(before), value_text(now)))
        for name, (before, now) in found.items()
    ]
    if rows:
        told = table(("Setting", f"Preset {config.preset}", "This run"), rows)
    else:
        told = paragraph(f"As the preset {config.preset} has it.")
    text = json.dumps(recipe(config), indent=1, ensure_ascii=False)
    return joined([told, folded("All settings", element("pre", text))])


def reproduction(material: Material) -> Html:
    """Return versions, seed, device and hashes."""
    inputs, run = material.inputs, material.run
    facts: list[tuple[object, ...]] = [
        ("Run", element("code", run.id)),
        ("Seed", inputs.seed),
        ("Device", f"{material.view.device or inputs.device}, {counted(inputs.threads, 'thread')}"),
        *((name, version) for name, version in inputs.versions.items()),
        ("This report by", f"napari-threestage {__version__}"),
    ]
    hashes = [(name, _hash(digest), told) for name, digest, told in _hashes(material)]
    return joined(
        [
            table(("", ""), facts),
            element("h3", "Hashes"),
            table(("Of", "SHA-256", "Size"), hashes),
            paragraph(
                "Those of several images are of the lines “id hash”, in the order of the ids.",
                class_="aside",
            ),
            _image_hashes(material),
        ]
    )


def _hashes(material: Material) -> Iterator[tuple[str, str, str]]:
    """Yield what is hashed, its hash, and its size."""
    run, inputs = material.run, material.inputs
    yield "config.json", file_hash(run.path / "config.json"), ""
    images, labels = (counted(len(one), "image") for one in (inputs.images, inputs.labels))
    yield f"Pixels of {images}", joint_hash(inputs.images), ""
    yield f"Labels of {labels}", joint_hash(inputs.labels), ""
    for stage in run.finished_stages():
        path = run.model_path(stage)
        digest = file_hash(path)
        if digest:
            yield f"stage-{stage}/{path.name}", digest, size(path.stat().st_size)


def _hash(digest: str) -> Html:
    return element("code", digest, class_="hash")


def _image_hashes(material: Material) -> Html:
    """Return the hashes of single images, those with labels first."""
    inputs, records = material.inputs, material.project.images
    ordered = sorted(inputs.images, key=lambda one: (one not in inputs.labels, one))
    rows = [
        (
            records[one].name if one in records else one,
            _hash(inputs.images[one]),
            _hash(inputs.labels[one]) if one in inputs.labels else "–",
        )
        for one in ordered[:MOST_HASHES]
    ]
    rest = len(ordered) - len(rows)
    more = f"{counted(rest, 'more image')} in inputs.json of the run." if rest else ""
    return folded(
        "Of each image",
        table(("Image", "Pixels", "Labels"), rows),
        paragraph(more, class_="aside") if more else None,
    )

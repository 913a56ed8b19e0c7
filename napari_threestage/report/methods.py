"""The paragraph for a paper: what was done, in sentences that follow from the configuration."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from napari_threestage.labels import is_labelled_in_part
from napari_threestage.report.recipe_text import recipe_sentences
from napari_threestage.report.wording import bounds, count, counted, enumerated, file_name, percent
from napari_threestage.sections import WITHOUT_BATCH_NORM
from napari_threestage.stages import stage_table

if TYPE_CHECKING:
    from napari_threestage.config import Config
    from napari_threestage.report.material import Material
    from napari_threestage.stages import StageSpec

PAPER = (
    "R. Ke, A. I. Aviles-Rivero, S. Pandey, S. Reddy and C.-B. Schönlieb, “A Three-Stage "
    "Self-Training Framework for Semi-Supervised Semantic Segmentation”, IEEE Transactions on "
    "Image Processing 31, 1805–1815, 2022."
)
PAPER_URL = "https://arxiv.org/abs/2012.00827"
BIBTEX = """@article{ke2022threestage,
  title   = {A Three-Stage Self-Training Framework for Semi-Supervised Semantic Segmentation},
  author  = {Ke, Rihuan and Aviles-Rivero, Angelica I. and Pandey, Saurabh and Reddy, Saikumar
             and Sch{\\"o}nlieb, Carola-Bibiane},
  journal = {IEEE Transactions on Image Processing},
  volume  = {31},
  pages   = {1805--1815},
  year    = {2022}
}

@software{napari_threestage,
  title   = {napari-threestage},
  author  = {{the napari-threestage developers}},
  version = {VERSION},
  license = {BSD-3-Clause}
}"""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DECODERS = {"aspp": "an ASPP decoder", "pyramid": "a decoder with skip connections"}
JUDGED_ON = {
    "validation": "set aside for validation, which no stage learned from",
    "new": "that were labelled afterwards and that no stage learned from",
    "labelled": "that the stages learned from, as no others were labelled",
}


def methods_text(material: Material) -> str:
    """Return the paragraph, about the stages that are finished; empty when none is.

    [1] is the paper, [2] this software.
    """
    config, inputs = material.config, material.inputs
    done = material.run.finished_stages()
    if not done:
        return ""
    table = stage_table(config, done[-1])
    learns = any(spec.self_training for spec in table)
    device = material.view.device or inputs.device
    sentences = [
        _task(material, len(table), learns),
        _data(material, learns),
        _network(config),
        *(_stage(spec, material) for spec in table),
        *recipe_sentences(config, done[-1], _is_partly_labelled(material)),
        f"The seed was {inputs.seed}; training ran on {device}.",
        _evaluation(material.comparison),
    ]
    return " ".join(one for one in sentences if one)


def bibtex(version: str) -> str:
    """Return the references as BibTeX."""
    return BIBTEX.replace("VERSION", version)


def _task(material: Material, n_stages: int, learns: bool) -> str:
    names = [entry["name"] for entry in material.inputs.classes]
    how = f"{_number(n_stages)}-stage self-training [1]" if learns else "supervised training"
    packages = {"napari-threestage": "napari-threestage", "torch": "PyTorch"}
    versions = material.inputs.versions
    made_with = [f"{told} {versions.get(name, '')}".strip() for name, told in packages.items()]
    return (
        f"Images were segmented into {len(names)} classes ({enumerated(names)}) by {how} with "
        f"{enumerated(made_with)} [2]."
    )


def _data(material: Material, learns: bool) -> str:
    inputs = material.inputs
    labelled, others = len(inputs.labels), len(inputs.images) - len(inputs.labels)
    parts = enumerated([f"{name} {count(number)}" for name, number in inputs.pixels.items()])
    text = (
        f"The training set had {counted(labelled, 'image')} with labels of "
        f"{counted(sum(inputs.pixels.values()), 'pixel')} ({parts})"
    )
    text += f" and {counted(others, 'image')} without labels" if learns and others else ""
    which = ""
    if inputs.channels is not None:
        which = f" (number {enumerated([str(one) for one in inputs.channels])}, from 0)"
    verb = "was" if inputs.n_channels == 1 else "were"
    return f"{text}; {counted(inputs.n_channels, 'channel')}{which} of each image {verb} used."


def _is_partly_labelled(material: Material) -> bool:
    """Say whether many pixels of the labelled images had no label."""
    inputs, known = material.inputs, material.project.images
    shapes = [known[image_id].label_shape for image_id in inputs.labels if image_id in known]
    return is_labelled_in_part(sum(inputs.pixels.values()), sum(map(prod, shapes)))


def _network(config: Config) -> str:
    network = config.network
    weights = file_name(network.weights)
    start = "random weights" if weights == "none" else f"pre-trained weights ({weights})"
    norm = ""
    if not network.backbone.startswith(WITHOUT_BATCH_NORM):
        frozen = network.batch_norm_is_frozen
        norm = f" and {'frozen' if frozen else 'learning'} batch normalisation"
    rates = ""
    if network.decoder == "aspp":
        rates = f" of rates {enumerated([str(rate) for rate in network.aspp_rates])}"
    patches = network.backbone.startswith("vit_")
    stride = "" if patches else f", an output stride of {network.output_stride}"
    seen = ""
    if network.zoom != 1:
        seen = f" It sees images at {network.zoom:g} times their size."
    return (
        f"The segmentation network f has the backbone {network.backbone} with {start}{stride}"
        f"{norm}, and {DECODERS[network.decoder]}{rates}.{seen}"
    )


# --- stages ---------------------------------------------------------------------------------------


def _stage(spec: StageSpec, material: Material) -> str:
    inputs, loss = material.inputs, material.config.loss
    if spec.number < inputs.first_stage:
        return f"Stage {spec.number} was taken from run {inputs.based_on}."
    start = _start(spec, material)
    text = f"Stage {spec.number} ({counted(spec.steps, 'step')}) {start} and learned "
    if not spec.self_training:
        return f"{text}from the labelled images alone."
    sources = ["from the labels"]
    if loss.consistency:
        sources.append("from consistency with a teacher on all images")
    if spec.pseudo_masks_from is not None and loss.pseudo:
        sources.append(_pseudo(spec))
    return f"{text}{enumerated(sources)}."


def _start(spec: StageSpec, material: Material) -> str:
    if material.inputs.refreshes:
        return f"went on from the same stage of run {material.inputs.refreshes}"
    if spec.start_from is not None:
        return f"went on from the segmenter of stage {spec.start_from}"
    return "began with these weights"


def _pseudo(spec: StageSpec) -> str:
    masks = f"from the pseudo-masks of stage {spec.pseudo_masks_from}"
    if not spec.own_blocks:
        return masks
    blocks = "block" if spec.own_blocks == 1 else f"{_number(spec.own_blocks)} blocks"
    return f"{masks} in a second branch that shares all but its last {blocks} with f"


# --- scores ---------------------------------------------------------------------------------------


def _evaluation(document: dict[str, Any] | None) -> str:
    groups = document["groups"] if document else []
    if document is None or not groups:
        return "No labels judged the masks."
    wanted = document["verdict"]["group"]
    group = next((one for one in groups if one["name"] == wanted), groups[0])
    scores = [(one, group["scores"][one["key"]]["miou"]) for one in document["columns"]]
    parts = [f"{_score(miou)} after {column['title'].lower()}" for column, miou in scores]
    text = (
        f"On {counted(group['images'], 'image')} {JUDGED_ON[group['name']]} "
        f"({counted(group['pixels'], 'pixel')}), mean IoU was {enumerated(parts)}"
    )
    has_bounds = any(bounds(miou) for _, miou in scores)
    note = "; brackets hold 95 % intervals of a bootstrap over images" if has_bounds else ""
    return f"{text}{note}."


def _score(miou: dict[str, Any]) -> str:
    inner = bounds(miou)
    return percent(miou["value"]) + (f" [{inner}]" if inner else "")


def _number(number: int) -> str:
    return NUMBERS[number] if number < len(NUMBERS) else str(number)

"""The recipe in sentences: losses, what a step sees, optimiser, teacher, prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_threestage.report.wording import counted, enumerated
from napari_threestage.sections import STATISTICS_CROPS, WITHOUT_BATCH_NORM, for_stage
from napari_threestage.stages import stage_table

if TYPE_CHECKING:
    from napari_threestage.config import Config
    from napari_threestage.sections import OperatorConfig

DISTANCES = {
    "hard": "cross-entropy to the class that the teacher finds",
    "soft": "cross-entropy to the probabilities of the teacher",
    "squared": "squared difference to the probabilities of the teacher",
}
MIXES = {"box": "CutMix", "classes": "ClassMix"}


def recipe_sentences(config: Config, last_stage: int, partly: bool) -> list[str]:
    """Return what the stages have in common.

    Parameters
    ----------
    last_stage
        Settings of later stages are not told.
    partly
        Whether many pixels of the labelled images have no label.
    """
    if not partly:  # it has had nothing to do
        loss = config.loss.model_copy(update={"crf": 0.0})
        config = config.model_copy(update={"loss": loss})
    alone = [spec.number for spec in stage_table(config, last_stage) if not spec.self_training]
    learns = len(alone) < last_stage
    found = [
        _losses(config, alone if learns else []) if learns else _supervised(config),
        _crops(config, alone, learns),
        _perturbation(config) if learns else "",
        _labelled(config, last_stage, learns),
        _optimiser(config),
        _teacher(config, learns, bool(alone)),
        _statistics(config),
        _prediction(config),
    ]
    return [one for one in found if one]


# --- losses ---------------------------------------------------------------------------------------


def _supervised(config: Config) -> str:
    return f"The loss was {_segmentation(config)}."


def _losses(config: Config, alone: list[int]) -> str:
    """Say what the loss is in the stages that use all images, and before."""
    loss = config.loss
    terms = {"L_con": loss.consistency, "L_pl": loss.pseudo}
    total = " + ".join(["L_seg", *(f"{w:g} {name}" for name, w in terms.items() if w)])
    parts = [f"L_seg is {_segmentation(config)}"]
    parts += [f"L_con {_consistency(config)}"] if loss.consistency else []
    if loss.pseudo:
        only = f" of a confidence of at least {loss.pseudo_threshold:g}"
        parts.append(
            f"L_pl the cross-entropy to the pseudo-masks{only if loss.pseudo_threshold else ''}"
        )
    first = f"L_seg in {_stages(alone)} and then " if alone and any(terms.values()) else ""
    text = f"The loss was {first}L = {total}, where {enumerated(parts)}."
    if loss.consistency and loss.ramp_up:
        text += f" The weight of L_con grew over the first {_share(loss.ramp_up)} of the steps."
    return text


def _segmentation(config: Config) -> str:
    loss = config.loss
    text = "the cross-entropy to the labels"
    if loss.class_weights:
        text += (
            f" (classes weighted by their inverse frequency to the power {loss.class_weights:g})"
        )
    more = [f"{loss.dice:g} times a Dice loss"] if loss.dice else []
    if loss.crf:
        more.append(f"{loss.crf:g} times a gated CRF loss where images were labelled in part")
    return " plus ".join([text, *more])


def _consistency(config: Config) -> str:
    loss = config.loss
    text = f"the {DISTANCES[loss.distance]}"
    if loss.threshold and loss.gate == "pixel":
        text += f" where its confidence is at least {loss.threshold:g}"
    elif loss.threshold:
        text += f" times the share of pixels of a confidence of at least {loss.threshold:g}"
    text += " on crops of all images alone" if loss.consistency_on == "whole_set" else ""
    covered = config.augment.cutouts and not config.augment.cutout_labels
    return text + (" outside Cutout boxes" if covered else "")


# --- what a step sees -----------------------------------------------------------------------------


def _crops(config: Config, alone: list[int], learns: bool) -> str:
    data = config.data
    first = counted(data.stage1_batch, "crop")
    labelled = counted(data.labelled_batch, "crop")
    later = f"{labelled} of labelled and {data.whole_set_batch} of all images"
    if not learns:
        text = f"A step took {first}"
    else:
        before = f"{first} of labelled images in {_stages(alone)} and then " if alone else ""
        text = f"A step took {before}{later}"
    height, width = data.crop
    text += f", of {height} × {width} pixels"
    moves = ["mirrored left to right"] if data.flip else []
    moves += ["upside down"] if data.flip_vertical else []
    moves += ["transposed"] if data.transpose else []
    text += f", {enumerated(moves)} at random" if moves else ""
    low, high = data.scale
    text += f", zoomed by {low:g} to {high:g}" if low != 1 or high != 1 else ""
    if data.class_focus:
        focused = f"{_share(data.class_focus)} of the labelled crops"
        text += f"; {focused} were placed on a pixel of a random class"
    return f"{text}."


def _perturbation(config: Config) -> str:
    """Say what A is."""
    augment = config.augment
    kinds = _operations(augment)
    kinds += [f"{MIXES[augment.mix]} with probability {augment.cutmix:g}"] if augment.cutmix else []
    kinds += [f"MixUp with probability {augment.mixup:g}"] if augment.mixup else []
    if augment.adversarial:
        kinds.append(f"an adversarial change of length {augment.adversarial:g}")
    if augment.feature_view:
        kinds.append("one more version with half of its features dropped")
    if not kinds:
        return "Crops of all images were not perturbed."
    views = f" in {augment.views} versions" if augment.views > 1 else ""
    return (
        f"Crops of all images were perturbed{views} by {enumerated(kinds)}; "
        "teacher outputs and pseudo-masks moved along."
    )


def _operations(operator: OperatorConfig) -> list[str]:
    kinds = []
    if operator.count:
        chance = f"each with probability {operator.probability:g}, "
        kinds.append(
            f"{counted(operator.count, 'operation')} of RandAugment "
            f"({chance if operator.probability < 1 else ''}of {', '.join(operator.operations)}; "
            f"levels up to {operator.max_level})"
        )
    if operator.cutouts:
        boxes = counted(operator.cutouts, "Cutout box", "Cutout boxes")
        kinds.append(f"{boxes} of {_share(operator.cutout_size)} of the shorter side")
    return kinds


def _labelled(config: Config, last_stage: int, learns: bool) -> str:
    """Say which labelled crops are perturbed as well, and how where nobody has said it yet."""
    augment = config.augment
    shares = {stage: for_stage(augment.labelled, stage) for stage in range(1, last_stage + 1)}
    kinds = _operations(augment.labelled_with or augment)
    if not any(shares.values()) or not kinds:
        return ""
    parts = [f"{_share(share)} in stage {stage}" for stage, share in shares.items() if share]
    text = f"Of the labelled crops {enumerated(parts)} were perturbed"
    if learns and not augment.labelled_with:  # what A is has been told; these are never mixed
        names = ["RandAugment"] if augment.count else []
        names += ["Cutout"] if augment.cutouts else []
        return f"{text} by {enumerated(names)} as well."
    return f"{text} by {enumerated(kinds)}."


# --- how it learns --------------------------------------------------------------------------------


def _optimiser(config: Config) -> str:
    found = config.optimiser
    name = {"adam": "Adam", "adamw": "AdamW"}[found.name]
    text = f"{name} had a learning rate of {found.learning_rate:g}"
    if config.network.weights != "none" and found.backbone_factor != 1:
        text += f" ({found.backbone_factor:g} times that for the backbone)"
    more = [f"a weight decay of {found.weight_decay:g}"] if found.weight_decay else []
    more += ["polynomial decay"] if found.schedule == "poly" else []
    more += [f"a warm-up over {_share(found.warm_up)} of the steps"] if found.warm_up else []
    more += [f"gradients clipped to a norm of {found.clip:g}"] if found.clip else []
    return f"{text}, with {enumerated(more)}." if more else f"{text}."


def _teacher(config: Config, learns: bool, begins_alone: bool) -> str:
    teacher = config.teacher
    if not teacher.enabled:
        return "The teacher was the network itself." if learns and config.loss.consistency else ""
    if not learns and not teacher.in_stage_1:
        return ""
    decays = list(dict.fromkeys(f"{decay:g}" for _, decay in teacher.decay))
    average = f"an exponential moving average of the weights of f (decay {', then '.join(decays)})"
    if not learns:
        return f"The result is {average}."
    ends = "a stage" if teacher.in_stage_1 or not begins_alone else "each stage with all images"
    return f"The teacher, which is also what {ends} ends with, is {average}."


def _statistics(config: Config) -> str:
    network = config.network
    live = not network.batch_norm_is_frozen and not network.backbone.startswith(WITHOUT_BATCH_NORM)
    if config.teacher.statistics == "student" or not (live or network.decoder == "pyramid"):
        return ""
    where = "" if live else " in the decoder"
    return (
        f"At the end of a stage, means and variances of batch normalisation{where} were replaced "
        f"by those of {STATISTICS_CROPS} unperturbed crops, drawn evenly from all images."
    )


def _prediction(config: Config) -> str:
    passes = config.inference.n_passes
    if passes == 1:
        return ""
    return f"Masks are those of the mean over {passes} mirrored versions of each image."


def _stages(numbers: list[int]) -> str:
    return f"stage{'' if len(numbers) == 1 else 's'} {enumerated([str(one) for one in numbers])}"


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"

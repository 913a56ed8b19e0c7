"""The groups of settings that a recipe is made of, each checked and frozen.

The defaults are those of the paper for Cityscapes where it has a number.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

PAPER_OPERATIONS = (
    "identity",
    "autocontrast",
    "equalize",
    "rotate",
    "solarize",
    "color",
    "contrast",
    "brightness",
    "sharpness",
    "shear_x",
    "translate_x",
    "translate_y",
    "posterize",
    "shear_y",
)

WITHOUT_BATCH_NORM = ("convnext", "vit_")  # beginnings of the names of such backbones
STATISTICS_CROPS = 320  # that clean statistics of batch norm are a mean over, at least

T = TypeVar("T")
AtLeast1 = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A frozen group of settings; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NetworkConfig(Section):
    """The segmentation network f as blocks: a backbone in five blocks and a decoder."""

    backbone: Literal[
        "auto",
        "compact",
        "mobilenet_v2",
        "mobilenet_v3_large",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "convnext_tiny",
        "convnext_small",
        "vit_small_patch14_dinov2",
        "vit_base_patch14_dinov2",
        "vit_small_patch16_dinov3",
        "vit_base_patch16_dinov3",
    ] = Field("resnet101", description="auto: mobilenet_v2 if it has weights, else compact")
    decoder: Literal["aspp", "pyramid"] = "aspp"
    weights: str = Field(
        "imagenet", description="imagenet (of a vit: its published ones), auto, none, or a file"
    )
    output_stride: Literal[8, 16, 32] = Field(
        8, description="of the last map; a vit has that of its patches"
    )
    aspp_rates: tuple[AtLeast1, ...] = Field((6, 12, 18, 24), min_length=1)
    decoder_channels: int = Field(64, ge=8)
    batch_norm: Literal["auto", "frozen", "live"] = Field(
        "frozen",
        description="of the backbone, convnext and vit have none; auto: frozen with weights",
    )
    align_corners: bool = True
    zoom: float = Field(
        1.0,
        ge=0.25,
        le=4,
        multiple_of=0.25,
        description="the blocks see images enlarged by this",
    )

    @property
    def batch_norm_is_frozen(self) -> bool:
        """Whether the backbone keeps the batch norm of its weights: random ones have none."""
        if self.batch_norm == "auto":
            return self.weights != "none"
        return self.batch_norm == "frozen"


class DataConfig(Section):
    """How crops are drawn and batched."""

    crop: tuple[AtLeast1, AtLeast1] = (256, 512)
    labelled_batch: int = Field(1, ge=1, description="crops from L a step, weakly augmented")
    whole_set_batch: int = Field(4, ge=0, description="crops from L and U a step")
    stage1_batch: int = Field(4, ge=1, description="crops from L a step in stage 1")
    scale: tuple[Positive, Positive] = Field((1.0, 1.0), description="range of the random zoom")
    flip: bool = True
    flip_vertical: bool = False
    transpose: bool = Field(
        False, description="swap rows and columns of crops at random; with both flips, all turns"
    )
    class_focus: float = Field(
        0.0, ge=0, le=1, description="share of labelled crops placed on a pixel of a random class"
    )
    cache_gigabytes: float = Field(8.0, gt=0, description="memory for decoded images")

    @field_validator("transpose")
    @classmethod
    def _square(cls, transpose: bool, info: ValidationInfo) -> bool:
        height, width = info.data.get("crop", (1, 1))  # absent when it is wrong itself
        if transpose and height != width:
            raise ValueError(f"crops of {height} x {width} pixels are not square")
        return transpose

    @field_validator("scale")
    @classmethod
    def _low_to_high(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] > scale[1]:
            raise ValueError("the lower end comes first")
        return scale


class OperatorConfig(Section):
    """What changes single crops: RandAugment and Cutout."""

    operations: tuple[str, ...] = PAPER_OPERATIONS
    count: int = Field(3, ge=0, description="operations drawn for each crop")
    probability: float = Field(0.5, ge=0, le=1, description="chance that a drawn one is applied")
    max_level: int = Field(9, ge=1, le=10)
    cutouts: int = Field(3, ge=0)
    cutout_size: float = Field(32 / 256, gt=0, le=1, description="of the crop's shorter side")

    @field_validator("operations")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(names) - set(PAPER_OPERATIONS))
        if unknown:
            raise ValueError(f"unknown {', '.join(unknown)}; known: {', '.join(PAPER_OPERATIONS)}")
        return names


class AugmentConfig(OperatorConfig):
    """The strong operator A (RandAugment, Cutout, CutMix and more) and with it B."""

    cutmix: float = Field(0.0, ge=0, le=1, description="chance that a crop gets a part of another")
    mix: Literal["box", "classes"] = Field(
        "box", description="that part: a box (CutMix), or the pixels of half its classes (ClassMix)"
    )
    mixup: Share = Field(0.0, description="chance that a crop is blended with another (ICT)")
    cutout_labels: bool = Field(True, description="whether pixels under Cutout boxes count")
    adversarial: float = Field(
        0.0, ge=0, description="length of the worst small change of a crop, times its edges (VAT)"
    )
    views: int = Field(1, ge=1, le=4, description="strong versions of each crop from L and U")
    feature_view: bool = Field(
        False, description="one more version, weak, with half of its features dropped (UniMatch)"
    )
    labelled: tuple[Share, ...] = Field(
        (0.0,),
        min_length=1,
        description="share of the labelled crops that A perturbs as well, by stage; the last entry "
        "counts for all later stages",
    )
    labelled_with: OperatorConfig | None = Field(
        None, description="what perturbs those; nothing given: the same as crops from L and U"
    )


class LossConfig(Section):
    """L = L_seg + λ1 L_con + λ2 L_pl (eq. 4, 5)."""

    consistency: float = Field(0.5, ge=0, description="λ1")
    pseudo: float = Field(0.5, ge=0, description="λ2")
    distance: Literal["hard", "soft", "squared"] = Field(
        "hard",
        description="d_c: cross-entropy with the teacher's classes or with its probabilities, or "
        "squared difference of probabilities",
    )
    consistency_on: Literal["both", "whole_set"] = Field(
        "both", description="crops that L_con is a mean over: of both sub-batches, or of L and U"
    )
    threshold: float = Field(0.0, ge=0, lt=1, description="teacher's confidence to count in L_con")
    gate: Literal["pixel", "batch"] = Field(
        "pixel",
        description="by the threshold, confident pixels count, or all by the confident share",
    )
    pseudo_on: Literal["branch", "segmenter"] = Field(
        "branch", description="what pseudo-masks guide: the second branch, or f (self-training)"
    )
    pseudo_threshold: float = Field(
        0.0, ge=0, lt=1, description="confidence of a pseudo-mask's pixel to count in L_pl"
    )
    ramp_up: float = Field(0.0, ge=0, le=1, description="share of the steps in which λ1 grows")
    dice: float = Field(0.0, ge=0, description="weight of a Dice term added to L_seg")
    crf: float = Field(
        0.0,
        ge=0,
        description="weight of a dense CRF in L_seg where images are labelled in part: pixels "
        "without a label become what neighbours are that look alike",
    )
    class_weights: float = Field(
        0.0, ge=0, le=1, description="power of the inverse class frequency in L_seg"
    )


class OptimiserConfig(Section):
    """Adam or AdamW with two learning rates."""

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(3e-5, gt=0)
    backbone_factor: float = Field(0.1, gt=0, description="share of a pre-trained backbone")
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "poly"] = "constant"
    warm_up: float = Field(0.0, ge=0, lt=1, description="share of the steps of a linear rise")
    clip: float = Field(0.0, ge=0, description="largest norm of the gradient; 0 = no limit")


class TeacherConfig(Section):
    """θ', the exponential moving average of θ."""

    decay: tuple[tuple[Share, Share], ...] = Field(
        ((1 / 3, 0.99), (2 / 3, 0.995), (5 / 6, 0.9975), (1.0, 0.999)),
        min_length=1,
        description="(until this share of the steps, decay)",
    )
    warm_up: bool = Field(False, description="decay is at most 1 - 1 / (step + 1) from a new start")
    enabled: bool = Field(True, description="off: the student itself is the teacher (Table VI)")
    in_stage_1: bool = Field(False, description="stage 1 is judged by an average too")
    statistics: Literal["student", "clean"] = Field(
        "student",
        description="batch norm's at the end of a stage: averages of the student's, or those of "
        "unperturbed crops of L and U",
    )


def for_stage(values: tuple[T, ...], stage: int) -> T:
    """Return a stage's entry; the last one counts for all later stages."""
    return values[min(stage, len(values)) - 1]


class StagesConfig(Section):
    """Length and start of the stages; the last entry counts for all later stages."""

    steps: tuple[AtLeast1, ...] = Field((60_000,), min_length=1)
    own_blocks: tuple[Annotated[int, Field(ge=0, le=2)], ...] = Field(
        (0, 2, 1), min_length=1, description="own blocks of the second branch: none, ĝ, g̃"
    )
    start_from: Literal["pretrained", "previous"] = "pretrained"
    unlabelled_from: int = Field(2, ge=1, description="first stage that draws crops of L and U")

    @field_validator("own_blocks")
    @classmethod
    def _none_at_first(cls, own_blocks: tuple[int, ...]) -> tuple[int, ...]:
        if own_blocks[0]:
            raise ValueError("stage 1 has no pseudo-masks yet, so the first entry is 0")
        return own_blocks


class InferenceConfig(Section):
    """How whole images are predicted, for pseudo-masks and for results alike."""

    flips: bool = Field(False, description="average over the image and its mirror image")
    flips_vertical: bool = Field(False, description="average over both upside down as well")
    transpose: bool = Field(
        False, description="average over all with rows and columns swapped as well"
    )
    tile: int = Field(
        1024, ge=64, le=2**14, description="side of what a larger image is predicted in"
    )
    blend: int = Field(32, ge=0, description="pixels over which a tile passes into the next")
    halo: int = Field(64, ge=0, description="pixels around that, which the network sees as well")

    @property
    def n_passes(self) -> int:
        """How often an image goes through the network."""
        return int(2 ** (self.flips + self.flips_vertical + self.transpose))

    @field_validator("blend", "halo")
    @classmethod
    def _below_tile(cls, margin: int, info: ValidationInfo) -> int:
        if margin > info.data.get("tile", margin):  # absent when it is wrong itself
            raise ValueError(f"it is larger than the tile of {info.data['tile']} pixels")
        return margin


class LiveConfig(Section):
    """Looks at the segmenter while it trains; they change nothing of what it learns."""

    every_seconds: Positive = Field(15.0, description="at least; they take 5 % of the time at most")
    images: int = Field(4, ge=0, description="a window of each of so many images; 0 = off")
    window: int = Field(256, ge=1, description="longest side in pixels")

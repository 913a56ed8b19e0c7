"""The stage table: a stage is a row of data, and one loop runs them all (Algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_threestage.config import for_stage
from napari_threestage.errors import ConfigError

if TYPE_CHECKING:
    from napari_threestage.config import Config

SELF_TRAINING_COST = 2.5  # a step of stage 2 and later against one of stage 1, about


@dataclass(frozen=True)
class StageSpec:
    """What one stage needs and writes.

    Attributes
    ----------
    number
        Stage number from 1; its pseudo-masks are named ``stage-<number>``.
    pseudo_masks_from
        The stage whose pseudo-masks guide the second branch, or f itself; None: none do.
    own_blocks
        Blocks of the second branch that it does not share with f: 2 for ĝ, 1 for g̃, 0 for none.
    steps
        Optimisation steps.
    start_from
        The stage whose segmenter f starts from; None: the pre-trained (or random) weights.  In a
        run that refreshes another one it is that one's same stage.
    self_training
        Whether the stage learns from images without labels.
    """

    number: int
    pseudo_masks_from: int | None
    own_blocks: int
    steps: int
    start_from: int | None
    self_training: bool

    @property
    def name(self) -> str:
        """Name of the stage's folder and of its label set."""
        return f"stage-{self.number}"


def stage_table(config: Config, last: int = 3) -> list[StageSpec]:
    """Return the rows for stages 1 to `last`; stage 4 and later repeat stage 3."""
    previous = config.stages.start_from == "previous"
    on_segmenter = config.loss.pseudo_on == "segmenter"

    def row(number: int) -> StageSpec:
        self_training = number >= config.stages.unlabelled_from
        own_blocks = for_stage(config.stages.own_blocks, number)
        own_blocks = own_blocks if self_training and not on_segmenter else 0
        guided = number > 1 and self_training and (own_blocks or on_segmenter)
        return StageSpec(
            number=number,
            pseudo_masks_from=number - 1 if guided else None,
            own_blocks=own_blocks,
            steps=for_stage(config.stages.steps, number),
            start_from=number - 1 if previous and number > 1 else None,
            self_training=self_training,
        )

    return [row(number) for number in range(1, last + 1)]


def crops_per_step(config: Config, spec: StageSpec) -> tuple[int, int]:
    """Return the crops of a step, in all processes: from L, and from L and U."""
    data = config.data
    if spec.self_training:
        return data.labelled_batch, data.whole_set_batch
    return data.stage1_batch, 0


def student_crops(config: Config, spec: StageSpec) -> int:
    """Return the crops that the student sees in a step, in all processes, with all their views."""
    labelled, whole = crops_per_step(config, spec)
    return labelled + whole * (config.augment.views + config.augment.feature_view)


def parse_stages(text: str) -> tuple[int, int]:
    """Read ``3``, ``1-3`` or ``2-4`` as the first and the last stage."""
    first, _, last = text.partition("-")
    try:
        bounds = int(first), int(last or first)
    except ValueError:
        raise ConfigError(f"'{text}' names no stages.", "Write for example --stages 1-3.") from None
    if not 1 <= bounds[0] <= bounds[1] <= 9:
        raise ConfigError(f"'{text}' names no stages.", "Stages go from 1 to 9, first to last.")
    return bounds

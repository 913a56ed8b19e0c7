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
        The stage whose pseudo-masks guide the second branch; None: no second branch.
    own_blocks
        Blocks of the second branch that it does not share with f: 2 for ĝ, 1 for g̃, 0 for none.
    steps
        Optimisation steps.
    start_from
        The stage whose segmenter f starts from; None: the pre-trained (or random) weights.
    """

    number: int
    pseudo_masks_from: int | None
    own_blocks: int
    steps: int
    start_from: int | None

    @property
    def name(self) -> str:
        """Name of the stage's folder and of its label set."""
        return f"stage-{self.number}"

    @property
    def self_training(self) -> bool:
        """Whether the stage learns from images without labels."""
        return self.number > 1


def stage_table(config: Config, last: int = 3) -> list[StageSpec]:
    """Return the rows for stages 1 to `last`; stage 4 and later repeat stage 3."""
    previous = config.stages.start_from == "previous"

    def row(number: int) -> StageSpec:
        own_blocks = for_stage(config.stages.own_blocks, number)
        return StageSpec(
            number=number,
            pseudo_masks_from=number - 1 if own_blocks else None,
            own_blocks=own_blocks,
            steps=for_stage(config.stages.steps, number),
            start_from=number - 1 if previous and number > 1 else None,
        )

    return [row(number) for number in range(1, last + 1)]


def crops_per_step(config: Config, spec: StageSpec) -> tuple[int, int]:
    """Return the crops of a step, in all processes: from L, and from L and U."""
    data = config.data
    if spec.self_training:
        return data.labelled_batch, data.whole_set_batch
    return data.stage1_batch, 0


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

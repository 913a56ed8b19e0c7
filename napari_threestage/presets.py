"""The recipes, as data: differences from the defaults of `config.Config`.

``paper-voc`` and ``paper-cityscapes`` carry the numbers of the paper and, where it is silent, those
of its published script.  ``quick``, ``best`` and ``balanced`` are ours and earn their place on real
data; see ``docs/quick.md`` and ``docs/recipe.md``.
"""

from __future__ import annotations

from typing import Any

_QUICK: dict[str, Any] = {
    "network": {
        "backbone": "auto",
        "decoder": "pyramid",
        "weights": "auto",
        "output_stride": 16,
        "batch_norm": "auto",  # see "Frozen batch norm" in docs/recipe.md
        "align_corners": False,
        "zoom": 1.5,  # see "Seen enlarged" in docs/recipe.md
    },
    "data": {
        "crop": (64, 64),
        "labelled_batch": 4,
        "whole_set_batch": 4,
        "stage1_batch": 4,
        "scale": (0.75, 1.33),
        "flip_vertical": True,
        "class_focus": 0.5,
    },
    "augment": {
        "operations": (
            "identity",
            "autocontrast",
            "rotate",
            "color",
            "contrast",
            "brightness",
            "sharpness",
            "shear_x",
            "shear_y",
            "translate_x",
            "translate_y",
        ),
        "cutout_size": 0.125,
        "cutmix": 0.5,
        "labelled": (1.0, 0.0),
    },
    "loss": {"consistency": 1.0, "pseudo": 0.5, "threshold": 0.9, "dice": 0.5, "crf": 0.1},
    "optimiser": {
        "name": "adamw",
        "learning_rate": 2e-3,  # its steps are few; see "Learning rate" in docs/recipe.md
        "backbone_factor": 0.3,
        "weight_decay": 1e-4,
        "schedule": "poly",
        "warm_up": 0.05,
        "clip": 1.0,
    },
    "teacher": {
        "decay": ((1.0, 0.99),),
        "warm_up": True,
        "in_stage_1": True,
        "statistics": "clean",
    },
    "stages": {"steps": (300, 400), "start_from": "previous"},
}
_BEST = _QUICK | {"inference": {"flips": True, "flips_vertical": True, "transpose": True}}
_BALANCED = _QUICK | {
    "network": _QUICK["network"] | {"backbone": "resnet50", "decoder_channels": 128, "zoom": 1.0},
    "data": _QUICK["data"]
    | {"crop": (256, 256), "labelled_batch": 8, "whole_set_batch": 8, "stage1_batch": 8},
    "optimiser": _QUICK["optimiser"] | {"learning_rate": 1e-3},
    "teacher": _QUICK["teacher"] | {"decay": ((1.0, 0.996),)},
    "stages": {"steps": (2_000, 4_000), "start_from": "previous"},
}

PRESETS: dict[str, dict[str, Any]] = {
    "quick": _QUICK,
    "best": _BEST,
    "balanced": _BALANCED,
    "paper-cityscapes": {},
    "paper-voc": {
        "data": {
            "crop": (321, 321),
            "labelled_batch": 1,
            "whole_set_batch": 9,
            "stage1_batch": 10,
            "scale": (0.5, 1.5),
        },
        "augment": {"cutout_size": 32 / 321},
        "loss": {"consistency": 0.25, "pseudo": 0.25},
        "stages": {"steps": (60_000,)},
    },
}
"""In the order in which they are offered."""

# What the paper changes with the share of labelled images (its section IV): sizes of the labelled
# and of the whole-set sub-batch, and λ1 = λ2.
PAPER_BY_SHARE: dict[str, tuple[tuple[float, int, int, float], ...]] = {
    "paper-cityscapes": (
        (100 / 2975, 1, 4, 1 / 2),
        (372 / 2975, 1, 4, 1 / 2),
        (744 / 2975, 1, 4, 1 / 2),
        (1488 / 2975, 3, 2, 1 / 2),
    ),
    "paper-voc": (
        (1 / 100, 1, 9, 1 / 4),
        (1 / 50, 1, 9, 1 / 4),
        (1 / 20, 1, 9, 5 / 4),
        (1 / 8, 2, 8, 5 / 8),
    ),
}


def settings_for_share(preset: str, labelled_share: float) -> dict[str, Any]:
    """Return the settings, by dotted name, that a preset has for a share of labelled images.

    The paper's row with the nearest share, as a ratio, decides; other presets have no rows.
    """
    rows = PAPER_BY_SHARE.get(preset)
    if not rows or labelled_share <= 0:
        return {}
    _, labelled, whole_set, weight = min(
        rows, key=lambda row: max(row[0] / labelled_share, labelled_share / row[0])
    )
    return {
        "data.labelled_batch": labelled,
        "data.whole_set_batch": whole_set,
        "loss.consistency": weight,
        "loss.pseudo": weight,
    }

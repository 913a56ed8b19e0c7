"""How long a run will take, before it begins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from napari_threestage import events
from napari_threestage.runs import list_runs
from napari_threestage.stages import SELF_TRAINING_COST, stage_table, student_crops

if TYPE_CHECKING:
    from napari_threestage.config import Config, NetworkConfig
    from napari_threestage.project import Project
    from napari_threestage.runs import Run
    from napari_threestage.stages import StageSpec

EARLIER_RUN = "an earlier run"
ROUGH_GUESS = "a rough guess"

# Seconds on one thread of a CPU for a million pixels: of crops that a step learns from, and of
# images that are predicted. Medians on two shared cores; other machines differ by a factor.
TRAINING = {
    "compact": 3.0,
    "mobilenet_v2": 7.0,
    "mobilenet_v3_large": 5.5,
    "resnet18": 9.0,
    "resnet34": 14.0,
    "resnet50": 17.0,
    "resnet101": 30.0,
    "convnext_tiny": 26.0,
    "convnext_small": 38.0,
    "vit_small_patch14_dinov2": 19.0,
    "vit_base_patch14_dinov2": 66.0,
    "vit_small_patch16_dinov3": 16.0,
    "vit_base_patch16_dinov3": 51.0,
}
PREDICTION = {name: seconds / 5 for name, seconds in TRAINING.items()}
START_SECONDS = 10.0
AUTO = ("mobilenet_v2", "compact")  # what the backbone `auto` becomes, the likely one first


@dataclass(frozen=True)
class Estimate:
    """How long a run will take.

    Attributes
    ----------
    seconds
        None where nothing is known.
    source
        ``an earlier run`` or ``a rough guess``.
    """

    seconds: float | None
    source: str


def estimate_seconds(
    project: Project, config: Config, stages: tuple[int, int], device_kind: str
) -> Estimate:
    """Say how long the stages will take.

    Parameters
    ----------
    config
        The recipe.
    stages
        First and last stage.
    device_kind
        ``cpu``, ``cuda`` or ``mps``.
    """
    table = stage_table(config, stages[1])[stages[0] - 1 :]
    paces = _paces(project, config, device_kind)
    if paces:
        rows = {spec.number: spec for spec in stage_table(config, 9)}
        seconds = sum(spec.steps * _pace(paces, spec, rows) for spec in table)
        return Estimate(seconds, EARLIER_RUN)
    if device_kind == "cpu":
        return Estimate(_guess(project, config, table), ROUGH_GUESS)
    return Estimate(None, ROUGH_GUESS)


def _paces(project: Project, config: Config, device_kind: str) -> dict[int, float]:
    """Return seconds a step, prediction included, of each stage that a run like this one had."""
    paces: dict[int, float] = {}
    for run in list_runs(project):
        same_device = run.inputs.device.split(":")[0] == device_kind
        # A baseline predicts once after the steps of several stages.
        if same_device and not run.is_baseline and _alike(config, run.config):
            steps = {spec.number: spec.steps for spec in stage_table(run.config, 9)}
            seconds = _uninterrupted(run)
            paces |= {stage: taken / steps[stage] for stage, taken in seconds.items()}
    return paces


def _pace(paces: dict[int, float], spec: StageSpec, rows: dict[int, StageSpec]) -> float:
    """Return the stage's own pace or else that of another one, those of a kind being alike."""
    if spec.number in paces:
        return paces[spec.number]
    alike = [stage for stage in paces if rows[stage].self_training == spec.self_training]
    pace = paces[max(alike or paces)]
    if alike:
        return pace
    return pace * SELF_TRAINING_COST if spec.self_training else pace / SELF_TRAINING_COST


def _alike(config: Config, other: Config) -> bool:
    """Whether a step costs the same, wherever the weights come from."""
    return _crops(config) == _crops(other) and _same_network(config.network, other.network)


def _crops(config: Config) -> tuple[object, ...]:
    """Return what decides how many crops go how often through the network."""
    data, augment = config.data, config.augment
    views = augment.views, augment.feature_view, augment.adversarial > 0
    batches = data.labelled_batch, data.whole_set_batch, data.stage1_batch
    return data.crop, batches, views, config.stages.unlabelled_from


def _same_network(network: NetworkConfig, other: NetworkConfig) -> bool:
    backbones = AUTO if network.backbone == "auto" else (network.backbone,)
    same = {"weights": other.weights, "backbone": other.backbone}
    return other.backbone in backbones and network.model_copy(update=same) == other


def _uninterrupted(run: Run) -> dict[int, float]:
    """Return the seconds of each stage that was made from its first step to its end in one go."""
    seconds, fresh = {}, None
    for event in events.read_events(run.events_path):
        match event:
            case events.Started():
                fresh = None
            case events.StageStarted():
                fresh = event.stage if event.step == 0 else None
            case events.StageFinished() if event.stage == fresh:
                seconds[event.stage] = event.seconds
    return seconds


def _guess(project: Project, config: Config, table: list[StageSpec]) -> float:
    backbone = AUTO[0] if config.network.backbone == "auto" else config.network.backbone
    height, width = config.data.crop
    crops = sum(spec.steps * student_crops(config, spec) for spec in table)
    pixels = sum(
        record.n_planes * record.label_shape[-2] * record.label_shape[-1]
        for record in project.images.values()
    )
    images = len(table) * pixels / 1e6 * config.inference.n_passes
    learnt = crops * height * width / 1e6
    work = (learnt * TRAINING[backbone] + images * PREDICTION[backbone]) * config.network.zoom**2
    threads = config.threads or max(1, (psutil.cpu_count(logical=False) or 2) - 1)
    return START_SECONDS + work / math.pow(threads, 0.7)  # more threads wait for each other more

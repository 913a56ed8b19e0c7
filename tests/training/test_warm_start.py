"""Runs that are made of another run: what they start from, and for how many steps."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_threestage.config import load_config
from napari_threestage.errors import NotReadyError
from napari_threestage.events import Event, Sampled
from napari_threestage.inference.segmenter import load_segmenter
from napari_threestage.runs import Run
from napari_threestage.stages import stage_table
from napari_threestage.training.data import SampleSet
from napari_threestage.training.derived import prepare_baseline, prepare_refresh
from napari_threestage.training.economy import Economy
from napari_threestage.training.networks import build_network
from napari_threestage.training.prepare import prepare_run, steps_behind
from napari_threestage.training.run import _Execution, execute_run
from napari_threestage.training.warm_start import class_axes, take_over
from napari_threestage.training.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from torch import Tensor

    from napari_threestage.config import Config
    from napari_threestage.project import ImageRecord, Project
    from napari_threestage.training.loop import StageTrainer

TINY = {
    "network.backbone": "compact",
    "network.weights": "none",
    "stages.steps": [3, 4],
    "data.crop": (32, 32),
    "teacher.warm_up": True,
    "threads": 1,
}


def config_of(**changes: Any) -> Config:
    return load_config("quick", TINY | {name.replace("__", "."): v for name, v in changes.items()})


@pytest.fixture
def project(small_project: Project, add_image: Callable[..., ImageRecord]) -> Project:
    """A labelled image and one without labels; three classes."""
    small_project.set_class_table(small_project.class_table.add("vessel"))
    add_image("a", np.tile(np.arange(1, 4, dtype=np.uint8), (48, 16)), (1, 48, 48))
    add_image("b", shape=(1, 48, 48))
    return small_project


def train(project: Project, config: Config | None = None, last: int = 3) -> Run:
    """A run as it is when it is finished, without masks: its weights say the stage."""
    run = prepare_run(project, config or config_of(), stages=(1, last), seed=7, device="cpu")
    return finished(project, run)


def finished(project: Project, run: Run) -> Run:
    """The run with segmenters of all its stages."""
    execution = execution_of(project, run)
    for spec in stage_table(run.config, run.inputs.last_stage):
        torch.manual_seed(spec.number)
        network = build_network(run.config.network, run.inputs.n_channels, len(run.inputs.classes))
        run.stage_path(spec.number).mkdir()
        execution._segmenter(spec, network).save(run.model_path(spec.number))
        (run.stage_path(spec.number) / "metrics.json").write_text("{}")
    return run


def execution_of(project: Project, run: Run) -> _Execution:
    execution = _Execution(project, run, lambda event: None, lambda: False, Workers())
    execution.economy = Economy()
    return execution


def trainer_of(project: Project, run: Run, stage: int) -> StageTrainer:
    data = SampleSet(project, run)
    for sample in data.samples:
        sample.pseudo = torch.zeros(48, 48, dtype=torch.uint8)
    spec = stage_table(run.config, run.inputs.last_stage)[stage - 1]
    return execution_of(project, run)._trainer(spec, data)


def weights_of(run: Run, stage: int) -> dict[str, Tensor]:
    return load_segmenter(run.model_path(stage), torch.device("cpu")).network.state_dict()


def assert_same(state: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert state.keys() == other.keys()
    for name, value in state.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("start_from", ["pretrained", "previous"])
def test_a_refresh_starts_each_stage_from_the_same_stage(project: Project, start_from: str) -> None:
    old = train(project, config_of(stages__start_from=start_from))
    before = {stage: weights_of(old, stage) for stage in (1, 2, 3)}
    run = prepare_refresh(project, old, seed=None, device="cpu")
    shutil.rmtree(old.path)  # the run stands for itself
    assert (run.inputs.refreshes, run.inputs.seed) == (old.id, 7)
    assert run.config.stages.steps == (2, 2, 2)
    assert run.config.network == old.config.network
    for stage in (1, 3):
        trainer = trainer_of(project, run, stage)
        assert_same(trainer.network.segmenter.state_dict(), before[stage])
        assert_same(trainer.teacher.network.state_dict(), before[stage])
        assert not trainer.teacher.config.warm_up  # which would forget it in the first step
        trainer.close()


@pytest.mark.parametrize("decoder", ["aspp", "pyramid"])
def test_what_a_network_knows_of_a_class_follows_its_id(project: Project, decoder: str) -> None:
    old = train(project, config_of(network__decoder=decoder), last=1)
    before = weights_of(old, 1)
    for ids in ((3, 1, 9), (2, 9, 1, 3), (3, 2)):  # of 1, 2, 3
        classes = [{"id": one, "name": str(one), "color": [0, 0, 0]} for one in ids]
        network = build_network(old.config.network, 1, len(ids))
        fresh = {name: value.clone() for name, value in network.state_dict().items()}
        inputs = replace(old.inputs, classes=classes)
        take_over(network, old.config.network, inputs, old.model_path(1))
        axes = class_axes(old.config.network, 1, len(ids))
        assert axes and all(name.startswith("blocks.5.") for name in axes)
        assert set(axes.values()) == {0}
        for name, value in network.state_dict().items():
            old_rows, new_rows = before[name], fresh[name]
            places = enumerate(ids if name in axes else ())
            rows = [old_rows[i - 1] if i < 9 else new_rows[place] for place, i in places]
            wanted = torch.stack(rows) if rows else old_rows
            torch.testing.assert_close(value, wanted, rtol=0, atol=0, msg=name)


def test_a_refresh_has_the_present_labels_and_classes(
    project: Project, add_image: Callable[..., ImageRecord]
) -> None:
    old = train(project)
    project.set_class_table(project.class_table.remove(2).add("new"))
    labels = np.tile(np.arange(1, 4, dtype=np.uint8), (48, 16))
    added = add_image("c", labels, (1, 48, 48))
    run = prepare_refresh(project, old, seed=5, device="cpu")
    assert run.class_ids == [1, 3, 4] and run.inputs.seed == 5
    assert added.id in run.inputs.labels and run.inputs.pixels["new"] == 48 * 16
    noted = {i: project.label_attributes(i)["time"] for i in run.inputs.labels}
    assert run.inputs.label_times == noted and len(noted) == 2
    trainer = trainer_of(project, run, 2)
    trainer.train_step()
    trainer.close()


def test_a_refresh_says_why_it_cannot_be(project: Project) -> None:
    old = train(project)
    project.set_channels([0])
    with pytest.raises(NotReadyError, match="trained with other channels"):
        prepare_refresh(project, old, seed=None, device="cpu")
    project.set_channels(None)
    other = train(project, config_of(network__decoder_channels=16))
    shutil.copy(other.model_path(2), old.model_path(2))
    with pytest.raises(NotReadyError, match="trained with another network"):
        prepare_refresh(project, old, seed=None, device="cpu")
    with pytest.raises(NotReadyError, match="another network"):
        network = build_network(old.config.network, 1, 3)
        take_over(network, old.config.network, old.inputs, old.model_path(2))
    (old.stage_path(2) / "metrics.json").unlink()
    with pytest.raises(NotReadyError, match=rf"Stage 2 .* not finished.* --resume {old.id}"):
        prepare_refresh(project, old, seed=None, device="cpu")


def test_a_refresh_of_a_refresh_has_as_many_steps_as_that(project: Project) -> None:
    once = finished(project, prepare_refresh(project, train(project), seed=None, device="cpu"))
    again = prepare_refresh(project, once, seed=None, device="cpu")
    assert again.config.stages.steps == once.config.stages.steps == (2, 2, 2)


def test_a_baseline_has_the_labels_and_all_the_steps_of_its_run(project: Project) -> None:
    old = train(project, config_of(stages__unlabelled_from=1, teacher__statistics="clean"))
    [labelled] = old.inputs.labels
    frozen = old.read_truth(labelled)
    project.write_ground_truth(labelled, np.ones((48, 48), np.uint8), "painted")
    project.set_class_table(project.class_table.remove(3))
    run = prepare_baseline(project, old, seed=None, device="cpu")
    assert (run.inputs.baseline_of, run.inputs.last_stage) == (old.id, 1)
    assert run.config.stages.steps == (3 + 4 + 4,) and run.inputs.seed == 7
    [spec] = stage_table(run.config, 1)
    assert not spec.self_training and spec.steps == 11
    same = ("images", "labels", "pixels", "classes", "channels", "normalisation", "label_times")
    for name in same:
        assert getattr(run.inputs, name) == getattr(old.inputs, name)
    np.testing.assert_array_equal(run.read_truth(labelled), frozen)
    stages = {"steps": old.config.stages.steps, "unlabelled_from": 1}
    settings = run.config.stages.model_copy(update=stages)
    assert run.config.teacher.statistics == "student"  # the others are of unlabelled images, too
    like_it = {"stages": settings, "teacher": old.config.teacher}
    assert run.config.model_copy(update=like_it) == old.config
    kept = {"statistics": "clean"}
    assert run.config.teacher.model_copy(update=kept) == old.config.teacher
    for refused in (prepare_baseline, prepare_refresh):
        with pytest.raises(NotReadyError, match="learns from labels only"):
            refused(project, run, seed=None, device="cpu")


def test_a_baseline_of_what_is_gone_is_refused(project: Project) -> None:
    old = train(project)
    record = project._file.images.pop(next(iter(project.images)))
    with pytest.raises(NotReadyError, match="is gone"):
        prepare_baseline(project, old, seed=None, device="cpu")
    project._file.images[record.id] = record
    shutil.rmtree(old.path / "truth")
    with pytest.raises(NotReadyError, match="older version"):
        prepare_baseline(project, old, seed=None, device="cpu")


def test_all_steps_that_led_to_a_run_count(project: Project) -> None:
    old = train(project)  # 3 + 4 + 4
    later = config_of(stages__steps=[100, 10])
    built = prepare_run(project, later, stages=(2, 3), seed=0, device="cpu")
    assert (built.inputs.based_on, steps_behind(built)) == (old.id, 3 + 10 + 10)
    refreshed = prepare_refresh(project, old, seed=None, device="cpu")
    assert steps_behind(refreshed) == 11 + 2 + 2 + 2
    baseline = prepare_baseline(project, refreshed, seed=None, device="cpu")
    assert (steps_behind(baseline), baseline.config.stages.steps) == (17, (17,))
    older = Run(built.path)
    older.inputs = replace(built.inputs, steps_before=0)
    assert steps_behind(older) == 100 + 10 + 10  # the best that is known


def test_a_run_ends_its_stages_with_the_statistics_that_the_recipe_wants(project: Project) -> None:
    runs = {}
    for statistics in ("student", "clean"):
        config = config_of(teacher__statistics=statistics, stages__steps=[3])
        runs[statistics] = prepare_run(project, config, stages=(1, 1), seed=7, device="cpu")
        events: list[Event] = []
        execute_run(project, runs[statistics], events.append, lambda: False)
    student, clean = (weights_of(runs[name], 1) for name in ("student", "clean"))
    changed = {name for name, value in clean.items() if not torch.equal(value, student[name])}
    assert {name.rsplit(".")[-1] for name in changed} <= {
        *("running_mean", "running_var", "num_batches_tracked")
    }
    assert any("running_var" in name for name in changed)
    # What is shown last is what is kept.
    *_, last = [event for event in events if isinstance(event, Sampled)]
    segmenter = load_segmenter(runs["clean"].model_path(1), torch.device("cpu"))
    for window in last.windows:
        image = project.read_image(window["image"])
        shown = runs["clean"].read_sample(1, window["image"])
        mask, _ = segmenter.predict(image)
        np.testing.assert_array_equal(
            shown, mask[..., : shown.shape[0], : shown.shape[1]].squeeze()
        )

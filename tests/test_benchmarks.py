"""The benchmarks compare what they say, and a part that fails does not stop the others."""

import copy
import importlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from napari_threestage.cli import build_parser
from napari_threestage.config import PAPER_OPERATIONS, Config, load_config, parse_setting
from napari_threestage.stages import stage_table
from napari_threestage.training.batches import is_sparse
from napari_threestage.training.loop import StageTrainer

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SWITCHES = BENCHMARKS / "switches"
N_CLASSES = 3
SIZE = (32, 48)
# Nothing is left to chance but the order of the images, which no loss depends on: crops are whole
# images, each of them is in every step, and the batch norm of f does not look at the batch.
SAME_STEP = {
    "network.backbone": "compact",
    "network.weights": "none",
    "network.decoder": "aspp",
    "network.batch_norm": "frozen",
    "data.crop": SIZE,
    "data.scale": (1.0, 1.0),
    "data.flip": False,
    "data.flip_vertical": False,
    "data.labelled_batch": 2,
    "data.whole_set_batch": 5,
    "data.stage1_batch": 2,
    "augment.count": 0,
    "augment.cutouts": 0,
    "augment.cutmix": 0.0,
    "loss.threshold": 0.0,
    "stages.steps": (100,),
    "precision": "float32",
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors as small as these only wait for other threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a benchmark as a script next to it would."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def by_name(name: str) -> ModuleType:
        return importlib.import_module(name)

    return by_name


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_plain_step_is_the_same_step(load: Any, stage: int) -> None:
    config = load_config("quick", SAME_STEP)
    ours, plain = both_losses(load, config, stage)
    for our_losses, plain_losses in zip(ours, plain, strict=True):
        assert {"total", "segmentation"} <= set(plain_losses) <= set(our_losses)
        for name, value in plain_losses.items():
            assert our_losses[name] == pytest.approx(value, rel=1e-4), name
    assert ours[0]["total"] != ours[-1]["total"]  # it learns
    assert ("pseudo" in plain[0]) == (stage > 1)


def test_the_plain_step_perturbs_everything(load: Any) -> None:
    changes = {name: SAME_STEP[name] for name in ("network.backbone", "network.weights")}
    changes |= {"data.crop": (32, 32), "augment.cutmix": 1.0, "augment.probability": 1.0}
    config = load_config("quick", changes | {"augment.operations": PAPER_OPERATIONS})
    _, plain = both_losses(load, config, 2, workers=2)
    assert all(math.isfinite(value) for losses in plain for value in losses.values())


def both_losses(
    load: Any, config: Config, stage: int, workers: int = 0
) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """The losses of some steps of the training loop and of the plain step, from the same start."""
    common, plain_step = load("bench_common"), load("plain_step")
    spec = stage_table(config, stage)[-1]
    samples = common.make_samples(5, SIZE, N_CLASSES, labelled=2)
    network = common.make_network(config, spec, N_CLASSES)
    rest = (torch.device("cpu"), 0)
    ours = StageTrainer(spec, config, samples, copy.deepcopy(network), *rest)
    plain = plain_step.PlainTrainer(spec, config, samples, network, *rest, workers)
    ours_found = [ours.train_step() for _ in range(2)]
    return (
        [{name: float(value) for name, value in losses.items()} for losses in ours_found],
        [plain.train_step() for _ in range(2)],
    )


def test_bare_step_counts_what_a_step_computes(load: Any) -> None:
    common, bare_step = load("bench_common"), load("bare_step")
    config = load_config("quick", SAME_STEP | {"data.crop": (32, 32)})
    flops = []
    for spec in stage_table(config):
        network = common.make_network(config, spec, N_CLASSES)
        step = bare_step.BareStep(spec, config, network, torch.device("cpu"), N_CLASSES)
        step()
        flops.append(step.flops() / bare_step.images_per_step(config, spec))
    assert 0 < flops[0] < flops[2] < flops[1]  # no branch, g̃, ĝ


def test_time_in_turn_and_by_part(load: Any) -> None:
    common = load("bench_common")
    device, order = torch.device("cpu"), []
    sides = [
        common.Side.build(lambda name=name: lambda: order.append(name), device) for name in "ab"
    ]
    order.clear()
    common.run_in_turn(sides, blocks=2, steps=2)
    assert "".join(order) == "aabbaabb"
    assert common.ratio(*sides)["low"] <= common.ratio(*sides)["median"]

    def step() -> None:
        with torch.profiler.record_function("threestage::crops"):
            torch.rand(100).sort()
        with torch.profiler.record_function("threestage::student"):
            torch.rand(100).sort()

    parts = common.milliseconds_by_part(step, device)
    assert set(parts) == {"crops", "student"}
    assert 0 < common.input_share(parts) < 1
    assert common.input_share({"student": 1.0}) is None


def test_a_part_that_fails_is_reported(
    load: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = load("bench")
    good = json.dumps({"summary": [["speed", "2.5 times"]]})
    scripts = {
        "bad": "raise SystemExit(3)",
        "silent": "pass",
        "good": f"import pathlib, sys; pathlib.Path(sys.argv[1]).write_text({good!r})",
    }
    parts = [
        bench.Part(
            name,
            [sys.executable, "-c", script, f"{tmp_path / name}.json"],
            tmp_path / f"{name}.json",
        )
        for name, script in scripts.items()
    ]
    outcomes = [bench.run_part(part) for part in parts]
    assert [outcome.code for outcome in outcomes] == [3, 1, 0]
    assert bench.show(outcomes) == 1
    assert bench.show(outcomes[2:]) == 0
    shown = capsys.readouterr().out
    assert "FAILED with exit code 3" in shown
    assert "2.5 times" in shown


def test_every_part_has_a_script(load: Any, tmp_path: Path) -> None:
    bench = load("bench")
    options = bench.parse_arguments(["--quick", "--folder", str(tmp_path)])
    for name in set(bench.NAMES) - {"latency"}:
        part = bench.make_part(name, options)
        assert Path(part.command[1]).exists(), name
        assert "--quick" in part.command


def test_prediction_is_compared_on_the_same_windows(load: Any) -> None:
    """As many pixels go through the bare network as through ours."""
    predict = load("predict")
    from napari_threestage.config import InferenceConfig

    device, config = torch.device("cpu"), InferenceConfig(tile=64, blend=16, halo=16)
    seen: list[int] = []

    class Counting(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images[0, 0].numel())
            return images[:, :2]

    pixels = torch.zeros(3, 200, 200, dtype=torch.uint8).numpy()
    predict.tiled(Counting(), pixels, config, device)()
    ours, seen = seen, []
    predict.bare(Counting(), pixels, config, device)()
    assert sorted(ours) == sorted(seen)
    assert len(ours) == 16


def test_screening_changes_each_switch_against_all_others(load: Any) -> None:
    screen = load("screen")
    design = screen.plackett_burman().astype(int) * 2 - 1
    assert (design.T @ design == 12 * np.eye(11)).all()


@pytest.mark.parametrize(
    ("file", "rate"), [("first", 1e-3), ("second", 2e-3)]
)  # the rate of the preset at the time
def test_the_switches_of_the_screenings_change_the_recipe(
    load: Any, file: str, rate: float
) -> None:
    switches = load("screen").read_switches(str(SWITCHES / f"{file}.json"))
    base = load_config("quick", {"optimiser.learning_rate": rate})
    for name, changes in switches.items():
        together = {"optimiser.learning_rate": rate} | changes
        assert load_config("quick", together) != base, name
    # All may be on in one training, so none undoes another.
    settings = [setting for changes in switches.values() for setting in changes]
    assert len(settings) == len(set(settings))
    assert len(switches) == 10


@pytest.mark.parametrize("text", ["{}", "{", json.dumps({str(n): {} for n in range(11)})])
def test_no_switches_or_too_many_are_refused(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "switches.json").write_text(text)
    arguments = [str(tmp_path / "switches.json"), "leaves", "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["screen.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        load("screen").main()
    assert ended.value.code == 2
    assert not (tmp_path / "out").exists()


def test_screening_refuses_what_would_be_shown_under_a_wrong_name(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = load("screen")

    def told(file: str, *more: str) -> str:
        arguments = [str(SWITCHES / file), "leaves", "--table-only", *more]
        arguments += ["--output", str(tmp_path / "out")]
        monkeypatch.setattr(sys, "argv", ["screen.py", *arguments])
        with pytest.raises(SystemExit):
            screen.main()
        return capsys.readouterr().err

    # This rate is that of the preset by now.
    assert "The switch 'twice the rate' changes nothing" in told("first.json")
    assert not (tmp_path / "out").exists()
    before = ["--set", "optimiser.learning_rate=1e-3"]
    assert told("first.json", *before) == ""
    assert "trainings of other switches" in told("second.json")
    assert "trainings of other switches" in told("first.json", *before, "--set", "loss.dice=1")
    assert told("first.json", *before) == ""


def test_screening_finds_what_each_switch_does(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = load("screen")
    switches = {"soft targets": {"loss.distance": "soft"}, "no L_pl": {"loss.pseudo": 0.0}}
    (tmp_path / "switches.json").write_text(json.dumps(switches))
    for cell in screen.cells([tmp_path / "good", tmp_path / "half"], [3, 5], switches):
        if cell.data.name == "half" and cell.number > 5:
            continue
        miou = 0.5 + 0.02 * ("soft targets" in cell.on) - 0.01 * (cell.seed == 5)
        rows = cell.folder(tmp_path / "out") / "held-out-0.2" / "rows"
        rows.mkdir(parents=True)
        (rows / "row.json").write_text(json.dumps({"stages": {"3": {"miou": miou}}}))
    arguments = [str(tmp_path / name) for name in ("switches.json", "good", "half")]
    arguments += ["--seeds", "3", "5"]
    arguments += ["--table-only", "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["screen.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        screen.main()
    assert ended.value.code == 0
    assert "half: 6 of 12 rows" in capsys.readouterr().out
    (found,) = json.loads((tmp_path / "out" / "screening.json").read_text())
    assert found["data"] == "good"
    planted = {"soft targets": 2, "seed": -1}
    expected = {name: planted.get(name, 0) for name in found["effects"]}
    assert found["effects"] == pytest.approx(expected, abs=1e-9)
    assert len(expected) == 11  # those without a switch show what chance does


def test_screening_trains_what_the_design_says(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = load("screen")
    called: list[list[str]] = []

    def run(_: object, *command: object) -> str:
        called.append(list(map(str, command)))
        if len(called) == 1:
            raise screen.CommandFailed("benchmark", 1, "no such folder")
        return ""

    monkeypatch.setattr(screen.Children, "threestage", run)
    file = SWITCHES / "second.json"
    arguments = [str(file), "leaves", "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["screen.py", *arguments, "--set", "data.class_focus=0.25"])
    with pytest.raises(SystemExit) as ended:
        screen.main()
    assert ended.value.code == 1  # the first training failed, the others were tried
    assert len(called) == 12
    options = build_parser()
    switches = screen.read_switches(str(file))
    for cell, command in zip(screen.cells([Path("leaves")], [0, 1], switches), called, strict=True):
        parsed = options.parse_args(command)
        assert parsed.held_out == 0.2
        assert parsed.seeds == [cell.seed]
        wanted = {k: v for on in cell.on for k, v in switches[on].items()}
        given = dict(map(parse_setting, parsed.set))  # the last one counts, so a switch's own
        assert given == {"data.class_focus": 0.25} | wanted


def test_both_steps_that_learn_from_strokes_are_measured(
    load: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    strokes = load("strokes")
    (labelled, other) = strokes.make_samples(2, (48, 64), N_CLASSES, labelled=1)
    assert is_sparse(strokes.with_lines(labelled).truth)
    assert strokes.with_lines(other) is other
    arguments = ["--quick", "--threads", "1", "--stages", "1", "--backbone", "compact"]
    arguments += ["--set", "data.crop=[32, 32]", "--output", str(tmp_path / "found.json")]
    monkeypatch.setattr(sys, "argv", ["strokes.py", *arguments])
    strokes.main()
    (stage,) = json.loads((tmp_path / "found.json").read_text())["stages"]
    assert stage["times"]["low"] <= stage["times"]["median"] <= stage["times"]["high"]
    assert f"{stage['times']['median']:.2f} times" in capsys.readouterr().out


def test_a_stage_counts_by_its_steps_in_the_speed_of_a_run(load: Any) -> None:
    step = load("step")
    stages = [
        {"block_seconds": {"plain": [3.0, 4.0, 3.0], "ours": [2.0, 1.0, 2.0]}},
        {"block_seconds": {"plain": [8.0, 8.0, 8.0], "ours": [4.0, 4.0, 2.0]}},
        {"block_seconds": {"plain": [9.0, 9.0, 9.0], "ours": [4.0, 4.0, 4.0]}},
    ]
    options = SimpleNamespace(preset="quick", set=["stages.steps=[200,300,100]"])
    run = step.of_a_run(stages, options)
    assert run["steps"] == [200, 300, 100]
    assert run["speed_up"] == pytest.approx({"median": 41 / 18, "low": 39 / 20, "high": 39 / 14})


def test_every_step_of_an_image_has_its_time(load: Any, tmp_path: Path) -> None:
    growth = load("growth_images")
    found = growth.measure_images(tmp_path, 2)
    assert found["images"] == 2
    assert all(found[step] > 0 for step in growth.STEPS)
    assert list(tmp_path.iterdir()) == []


def test_prediction_and_classes_have_their_times(load: Any, tmp_path: Path) -> None:
    growth = load("growth_network")
    row = growth.measure_size(512, "cpu", 1, 1)
    assert row["seconds per megapixel"] > 0 and row["to bare"]["low"] > 0.5
    memory = growth.measure_memory(tmp_path, 128, "cpu", 1)
    assert memory["memory before"] <= memory["memory writing"] <= memory["memory"]
    counts = growth.measure_classes([2, 3], "cpu", 1, 1)
    assert [one["classes"] for one in counts] == [2, 3]
    assert all(one["step"] > 0 for one in counts)

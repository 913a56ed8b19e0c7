"""``threestage compare`` on a made-up run."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from compare_helpers import add_images, disturbed, make_compared_run

from napari_threestage.project import Project, default_classes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INTERVAL = {"value", "low", "high"}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Six validation images, one of them named with brackets, and a run of two stages."""
    path = tmp_path_factory.mktemp("compare") / "project"
    project = Project.create(path, default_classes(["ground", "[red] cell"]))
    names = ["[bold]a", "b", "c", "d", "e", "f"]
    masks: dict[int, dict[str, np.ndarray]] = {1: {}, 2: {}}
    for number, one in enumerate(add_images(project, names, (2, 20, 24), "validation")):
        truth = np.ones((2, 20, 24), np.uint8)
        truth[:, 3 + number : 15] = 2
        project.write_ground_truth(one, truth, "painted")
        masks[1][one] = disturbed(truth, 0.5, 2, number)
        masks[2][one] = disturbed(truth, 0.2, 2, number)
    make_compared_run(project, masks)
    return project


def test_people_read_the_verdict_first_and_every_table(
    compared: Project, threestage: Callable[..., Any]
) -> None:
    shown = threestage("compare", compared.path)
    assert shown.code == 0 and shown.err == ""
    lines = shown.out.splitlines()
    assert lines[0].startswith("Stage 2 is better than stage 1: mIoU ")
    assert lines[0].endswith(" on 6 validation images.")
    assert "Scores in % [95 %] on 6 images set aside for validation" in shown.out
    for text in ("[red] cell", "[bold]a", "calibration error", "changed", "Images to look at"):
        assert text in shown.out
    document = threestage("compare", compared.path, "--json").document
    value = document["groups"][0]["scores"]["2"]["miou"]["value"]
    assert f"{100 * value:.1f}" in lines[0]


def test_programs_get_one_valid_document_with_all_its_parts(
    compared: Project, threestage: Callable[..., Any]
) -> None:
    shown = threestage("compare", compared.path, "--json", "--stages", "2,1", "--progress")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    document = json.loads(shown.out, parse_constant=refuse)
    assert json.loads(shown.err.splitlines()[-1]) == {"done": 6, "total": 6}
    assert document.keys() == {
        "project", "classes", "columns", "groups", "agreement", "fractions", "images", "left_out",
        "verdict", "alarms",
    }  # fmt: skip
    assert [one.keys() for one in document["classes"]] == [{"name", "color"}] * 2
    assert [one["key"] for one in document["columns"]] == ["1", "2"]
    assert document["columns"][0].keys() == {"key", "run", "run_name", "stage", "title"}
    [group] = document["groups"]
    assert group.keys() == {"name", "text", "images", "pixels", "scores", "differences"}
    assert group["scores"].keys() == {"1", "2"}
    scores = group["scores"]["1"]
    assert scores.keys() == {"miou", "accuracy", "iou", "confusion", "calibration", "kept"}
    assert scores["miou"].keys() == scores["iou"]["[red] cell"].keys() == INTERVAL
    assert scores["calibration"].keys() == {"ece", "bins"} and len(scores["kept"]) == 11
    bins = scores["calibration"]["bins"]
    assert len(bins) == 10 and bins[0].keys() == {"low", "high", "confidence", "accuracy", "pixels"}
    assert scores["kept"][0].keys() == {"threshold", "share", "accuracy"}
    assert [one.keys() for one in group["differences"]] == [{"from", "to", "miou", "iou"}]
    [agreement] = document["agreement"]
    assert agreement.keys() == {
        "from", "to", "images", "pixels", "changed", "transitions", "classes",
    }  # fmt: skip
    assert agreement["classes"]["ground"].keys() == {"before", "after", "gained", "lost"}
    image = document["images"][0]
    assert image.keys() == {
        "id", "name", "group", "pixels", "miou", "changed", "confidence", "place", "why",
    }  # fmt: skip
    assert (
        image["place"].keys() == {"plane", "rows", "columns"} and len(image["place"]["plane"]) == 1
    )
    assert document["verdict"].keys() == {
        "helped", "sentence", "group", "against_first", "against_baseline", "baseline", "hints",
    }  # fmt: skip


def test_all_numbers_go_into_csv_files_too(
    compared: Project, threestage: Callable[..., Any], tmp_path: Path
) -> None:
    found = threestage("compare", compared.path, "--csv", tmp_path / "numbers", "--json").document
    names = {"scores", "confusion", "calibration", "kept", "agreement", "images"}
    assert {path.name for path in (tmp_path / "numbers").iterdir()} == {f"{n}.csv" for n in names}
    texts = {name: (tmp_path / "numbers" / f"{name}.csv").read_text() for name in names}
    sheets = {name: list(csv.DictReader(text.splitlines())) for name, text in texts.items()}
    scores = found["groups"][0]["scores"]
    rows = {(r["from"], r["to"], r["measure"], r["class"]): r for r in sheets["scores"]}
    assert float(rows["", "2", "mIoU", ""]["low"]) == scores["2"]["miou"]["low"]
    gain = found["groups"][0]["differences"][0]["iou"]["ground"]["high"]
    assert float(rows["1", "2", "IoU", "ground"]["high"]) == gain
    cells = [row for row in sheets["confusion"] if (row["column"], row["truth"]) == ("1", "ground")]
    assert [int(row["pixels"]) for row in cells] == scores["1"]["confusion"][0]
    moved = [int(row["pixels"]) for row in sheets["agreement"]]
    assert moved == np.ravel(found["agreement"][0]["transitions"]).tolist()
    assert [row["id"] for row in sheets["images"]] == [one["id"] for one in found["images"]]
    assert float(sheets["images"][0]["mIoU 2"]) == found["images"][0]["miou"]["2"]
    assert len(sheets["calibration"]) == 20 and len(sheets["kept"]) == 22


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--run", "nobody"], "has no run nobody"),
        (["--stages", "1,5"], "no finished stage 5. Finished: 1, 2."),
        (["--stages", "all"], "'all' names no stages. Write for example --stages 1,3."),
        (["--runs", "nobody,A"], "has no run nobody"),
        (["--runs", ""], "two or more"),
        (["--runs", "A,B", "--run", "A"], "--run and --runs exclude each other"),
        (["--csv", "{}/images"], "keeps its own data"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    compared: Project, threestage: Callable[..., Any], arguments: list[str], sentence: str
) -> None:
    given = [one.format(compared.path) for one in arguments]
    assert sentence in threestage("compare", compared.path, *given).sentence

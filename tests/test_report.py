"""The report: one file, sound HTML, true numbers, and no trouble with half a run."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from compare_helpers import add_images, disturbed, make_compared_run
from PIL import Image

from napari_threestage import run_notes
from napari_threestage.compare.document import build_document, columns_of_run
from napari_threestage.config import load_config
from napari_threestage.errors import ConfigError
from napari_threestage.events import Progress, StageStarted, Started, Warned
from napari_threestage.project import Project, default_classes
from napari_threestage.report import build_report
from napari_threestage.report.choosing import choose_images
from napari_threestage.report.methods import PAPER_URL
from napari_threestage.report.pictures import changed_frames, draw_image
from napari_threestage.report.recipe_text import recipe_sentences
from napari_threestage.report.wording import without_folders

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_threestage.runs import Run

EMPTY = {"img", "meta", "br"}
ODD = '<b>&"$x_1$'
SHAPE = (40, 48)


@dataclass
class Page(HTMLParser):
    """What a browser would find; fails where tags do not match."""

    text: str = ""
    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str]] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in EMPTY:
            self.stack.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack[-1:] != ["style"]:
            self.text += data
        if {"td", "th"} & set(self.stack):
            self.cells[-1] += data

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text())
    page.close()
    assert page.stack == []
    return page


def make_project(path: Path, names: tuple[str, ...] = (ODD, "other")) -> tuple[Project, Any]:
    """Two images to learn from and five of validation, all with names that are markup."""
    project = Project.create(path, default_classes(["back", *names]))
    train = add_images(project, [f"<script>{ODD}", "plain"], SHAPE)
    judging = add_images(project, list("uvwxy"), SHAPE, "validation")
    rng = np.random.default_rng(0)
    truths = {one: rng.integers(1, 4, SHAPE, np.uint8) for one in [*train, *judging]}
    for one in [train[0], *judging]:
        project.write_ground_truth(one, truths[one], "imported")
    return project, SimpleNamespace(train=train, judging=judging, truths=truths)


def add_run(project: Project, images: Any, stages: int, **inputs: object) -> Run:
    noises = {1: 0.6, 2: 0.4, 3: 0.3}
    masks = {
        stage: {one: disturbed(truth, noises[stage], 3) for one, truth in images.truths.items()}
        for stage in range(1, stages + 1)
    }
    return make_compared_run(project, masks, images.train[:1], **inputs)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The report of a run of three stages, which no test may change."""
    folder = tmp_path_factory.mktemp("report")
    project, images = make_project(folder / "project")
    run = add_run(project, images, 3, seed=41, versions={"torch": "9.9.9"})
    (run.model_path(1)).write_bytes(b"weights")
    run_notes.set_note(project, run.id, name=f"<i>{ODD}")
    run.record(Started(run=run.id, device="cpu", stages=[1, 2, 3], labelled=1, unlabelled=1))
    run.record(StageStarted(stage=1, steps=10))
    for step in (2, 6, 10):
        numbers: dict[str, Any] = {"images_per_second": 1, "eta": 1, "memory": 1}
        run.record(Progress(stage=1, step=step, steps=10, losses={"total": 1 / step}, **numbers))
    run.record(Warned(message=f"Weights {folder}/weights.pth are not there. {ODD}"))
    path = folder / "report.html"
    found = build_report(project, run, path, images=2)
    return SimpleNamespace(project=project, run=run, path=path, found=found, page=read(path))


def test_it_is_one_sound_page_that_loads_nothing(reported: Any) -> None:
    page, content = reported.page, reported.path.read_text()
    assert "script" not in page.tags and "link" not in page.tags
    assert page.values("src") and all(one.startswith("data:image/") for one in page.values("src"))
    ids = page.values("id")
    assert len(set(ids)) == len(ids)
    hrefs = page.values("href") + page.values("xlink:href")
    assert set(hrefs) - {PAPER_URL} <= {f"#{one}" for one in ids}
    assert set(re.findall(r"https?://[^\s\"<]*", content)) == {PAPER_URL}
    assert set(re.findall(r"url\(([^)]*)\)", content)) <= {f"#{one}" for one in ids}
    assert page.tags.count("svg") >= 5  # losses, and two of each of the two groups


def test_what_people_wrote_is_text_and_no_folder_is_told(reported: Any) -> None:
    content = reported.path.read_text()
    assert f"<i>{ODD}" in reported.page.text and f"<script>{ODD}" in reported.page.text
    assert ODD not in content
    assert str(reported.path.parent) not in content
    assert "Weights weights.pth are not there." in reported.page.text


def test_it_has_the_numbers_of_the_comparison(reported: Any) -> None:
    document = build_document(reported.project, columns_of_run(reported.project, reported.run.id))
    cells = set(reported.page.cells)
    assert {one["name"] for one in document["groups"]} == {"validation", "labelled"}
    for group in document["groups"]:
        for scores in group["scores"].values():
            for one in (scores["miou"], scores["accuracy"], *scores["iou"].values()):
                bounds = ""
                if one["low"] is not None:
                    bounds = f"[{100 * one['low']:.1f} to {100 * one['high']:.1f}]"
                assert f"{100 * one['value']:.1f} %{bounds}" in cells
    gain = document["groups"][0]["differences"][-1]["miou"]
    assert any(cell.startswith(f"{100 * gain['value']:+.1f}[") for cell in cells)
    assert document["verdict"]["sentence"] in reported.page.text
    changed = document["agreement"][-1]["changed"]
    assert f"{100 * changed:.1f} % of the pixels of 7 images changed class" in reported.page.text


def test_it_tells_how_the_run_was_made(reported: Any) -> None:
    page = reported.page
    assert {"41", "9.9.9", "model.safetensors"} <= {one.split("/")[-1] for one in page.cells}
    assert hashlib.sha256(b"weights").hexdigest() in page.cells
    assert "three-stage self-training [1]" in page.text
    assert "On 5 images set aside for validation, which no stage learned from" in page.text
    assert len(reported.found["images"]) == 2
    assert reported.found["bytes"] == reported.path.stat().st_size < 2**20


@pytest.mark.parametrize(
    ("stages", "last", "text"), [(0, 3, "No stage is finished"), (1, 3, "1 of 3")]
)
def test_half_a_run_has_a_report_too(tmp_path: Path, stages: int, last: int, text: str) -> None:
    project, images = make_project(tmp_path / "project", ("a", "b"))
    run = add_run(project, images, stages, last_stage=last)
    project._file.images.pop(images.train[1])  # somebody removed an image
    build_report(project, run, tmp_path / "report.html", images=1)
    page = read(tmp_path / "report.html")
    assert text in page.text
    assert "Stage 2 (" not in page.text


def test_a_file_that_is_no_report_stays(reported: Any, tmp_path: Path) -> None:
    other = tmp_path / "page.html"
    other.write_text("<p>Mine</p>")
    for path in (other, tmp_path / "report.txt"):
        with pytest.raises(ConfigError):
            build_report(reported.project, reported.run, path)
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]


# --- its parts ------------------------------------------------------------------------------------


def test_examples_are_worst_best_and_most_changed_of_what_is_honest() -> None:
    def image(name: str, group: str, score: float | None, changed: float) -> dict[str, Any]:
        return {"id": name, "group": group, "miou": {"3": score}, "changed": {"1>3": changed}}

    images = [
        image("flattered", "labelled", 0.99, 0.1),
        image("good", "validation", 0.9, 0.0),
        image("bad", "validation", 0.2, 0.3),
        image("fair", "validation", 0.5, 0.2),
        image("moved", "unlabelled", None, 0.9),
    ]
    document = {"images": images, "columns": [{"key": "1"}, {"key": "3"}]}
    found = [(one.why, one.entry["id"]) for one in choose_images(document, 4)]
    assert found == [
        ("Worst", "bad"),
        ("Best", "good"),
        ("Changed most", "moved"),
        ("Worst", "fair"),
    ]
    assert [one.entry["id"] for one in choose_images(document | {"images": images[::-1]}, 4)] == [
        name for _, name in found
    ]


def test_frames_are_around_what_changed() -> None:
    before = np.ones((100, 200), np.uint8)
    after = before.copy()
    after[10:50, 20:60] = 2
    after[70:100, 160:200] = 2
    frames = changed_frames(before, after)
    assert len(frames) == 2
    for left, top, width, height in frames:
        rows = slice(round(100 * top), round(100 * (top + height)))
        columns = slice(round(200 * left), round(200 * (left + width)))
        assert (after[rows, columns] == 2).mean() > 0.6


def test_pictures_have_the_colours_of_the_classes(reported: Any) -> None:
    project, columns = reported.project, columns_of_run(reported.project, reported.run.id)
    [image_id, *_] = [one for one in project.images if project.read_labels(one) is None]
    pictures = draw_image(project, columns, image_id)
    assert pictures.truth is None
    assert list(pictures.masks) == ["1", "2", "3"]
    shown = np.asarray(Image.open(io.BytesIO(pictures.masks["3"])).convert("RGB"))
    colours = np.array([entry.color for entry in project.classes])
    mask = columns[-1].read_mask(image_id)
    assert shown.shape[:2] == (240, 288)
    np.testing.assert_array_equal(shown[3::6, 3::6], colours[mask - 1])


@pytest.mark.parametrize(("weight", "partly"), [(0.2, True), (0.2, False), (0, True)])
def test_a_crf_is_told_where_it_had_something_to_do(weight: float, partly: bool) -> None:
    text = " ".join(recipe_sentences(load_config("quick", {"loss.crf": weight}), 3, partly))
    assert ("0.2 times a gated CRF loss" in text) == (weight > 0 and partly)


@pytest.mark.parametrize(
    ("changes", "last", "told", "untold"),
    [
        (
            {},
            3,
            ["L_seg in stage 1 and then L = L_seg + 1 L_con + 0.5 L_pl", "0.5 times a Dice"],
            [],
        ),
        ({"loss.dice": 0, "loss.pseudo": 0}, 3, ["L = L_seg + 1 L_con, where"], ["Dice", "L_pl"]),
        ({}, 1, ["The loss was the cross-entropy"], ["L_con", "Crops of all images", "CutMix"]),
        (
            {"network.batch_norm": "auto"},
            1,
            ["in the decoder were replaced by those of 320 unperturbed crops"],
            [],
        ),
        (
            {"network.batch_norm": "auto", "network.weights": "none"},
            1,
            ["batch normalisation were replaced by those of 320 unperturbed crops"],
            ["in the decoder"],
        ),
        ({"teacher.statistics": "student"}, 3, [], ["unperturbed"]),
        ({"network.batch_norm": "frozen", "network.decoder": "aspp"}, 3, [], ["unperturbed"]),
        (
            {"network.backbone": "convnext_tiny", "network.decoder": "aspp"},
            3,
            [],
            ["unperturbed"],
        ),
        ({}, 3, ["100 % in stage 1 were perturbed by RandAugment and Cutout as well"], []),
        ({"augment.cutmix": 0, "augment.cutouts": 0}, 3, ["RandAugment"], ["CutMix", "Cutout"]),
        ({"teacher.enabled": False}, 3, ["The teacher was the network itself"], ["moving average"]),
        ({"stages.unlabelled_from": 1}, 2, ["The loss was L = L_seg"], ["in stage 1 and then"]),
        ({"inference.flips": True}, 3, ["mean over 2 mirrored versions"], []),
    ],
)
def test_the_recipe_is_told_as_it_is(
    changes: Mapping[str, Any], last: int, told: list[str], untold: list[str]
) -> None:
    text = " ".join(recipe_sentences(load_config("quick", dict(changes)), last, False))
    assert [one for one in told if one not in text] == []
    assert [one for one in untold if one in text] == []


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("threestage run /home/a/cells --stages 3", "threestage run cells --stages 3"),
        ("run '/home/my data/cells' --stages 3", "run 'cells' --stages 3"),
        (r"C:\Users\a\weights.pth is gone", "weights.pth is gone"),
        (f"see {PAPER_URL}, 1/2 or and/or", f"see {PAPER_URL}, 1/2 or and/or"),
    ],
)
def test_folders_are_left_out(text: str, without: str) -> None:
    assert without_folders(text) == without

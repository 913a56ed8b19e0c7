"""Everything of the document against independent computations on the same masks."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from compare_helpers import add_images, confidence_of, disturbed, make_compared_run

from napari_threestage.compare.document import build_document, columns_of_run, columns_of_runs
from napari_threestage.errors import ConfigError, NotReadyError, ProjectError, Stopped
from napari_threestage.project import Project, default_classes
from napari_threestage.run_notes import set_note
from napari_threestage.runs import Run, find_run

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["ground", "cell", "fibre", "never"]
SHAPE = (90, 100)
NOISE = {1: 0.5, 2: 0.3, 3: 0.1}  # share of the pixels that a stage guesses
GROUPS = {"validation": 6, "new": 2, "labelled": 4}
UNLABELLED = 3


def truth_of(number: int) -> np.ndarray:
    """Ground truth of 1..3 with a strip that nobody labelled."""
    rng = np.random.default_rng(number)
    truth = np.ones(SHAPE, np.uint8)
    truth[rng.integers(5, 15) : 30, rng.integers(5, 20) :] = 2
    truth[:, rng.integers(30, 40) :] = 3
    truth[rng.integers(0, 30) :][:4] = 0
    return truth


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A project with a run of three stages, and the document of its comparison."""
    project = Project.create(
        tmp_path_factory.mktemp("compared") / "project", default_classes(NAMES)
    )
    ids = {
        name: add_images(project, [f"{name}{k}" for k in range(count)], SHAPE, split)
        for name, count, split in (
            ("labelled", 4, "train"),
            ("new", 2, "train"),
            ("validation", 6, "validation"),
            ("unlabelled", UNLABELLED, "train"),
        )
    }
    every = [one for group in ids.values() for one in group]
    truths = {one: truth_of(number) for number, one in enumerate(every)}
    for one in ids["labelled"]:
        project.write_ground_truth(one, truths[one], "imported")
    masks = {
        stage: {
            one: disturbed(truths[one], share, 3, 100 * stage + number)
            for number, one in enumerate(every)
        }
        for stage, share in NOISE.items()
    }
    run = make_compared_run(project, masks, ids["labelled"], noted=True)
    for one in ids["new"] + ids["validation"]:
        project.write_ground_truth(one, truths[one], "painted")
    accepted = ids["unlabelled"][0]
    project.write_ground_truth(accepted, masks[3][accepted], f"stage-3 of run {run.id}")
    project.save()
    return project.path, build_document(project, columns_of_run(project))


@pytest.fixture
def project(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> Project:
    """The project, for this test alone."""
    return Project(shutil.copytree(made[0], tmp_path / "project"))


def flat(project: Project, run: Run, stage: int, group: str) -> tuple[np.ndarray, ...]:
    """Truth, masks and confidences of a group's labelled pixels, read without any of our code."""
    ids = [one for one, record in project.images.items() if record.name.startswith(group)]
    truth = np.concatenate([project.read_labels(one).ravel() for one in ids])  # type: ignore[union-attr]
    mask = np.concatenate([run.read_mask(stage, one).ravel() for one in ids])
    sure = np.concatenate([run.read_confidence(stage, one).ravel() for one in ids])
    return truth[truth > 0], mask[truth > 0], sure[truth > 0]


def test_scores_are_those_of_scikit_learn(made: tuple[Path, dict[str, Any]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    project, document = Project(made[0]), made[1]
    run = find_run(project)
    assert [group["name"] for group in document["groups"]] == list(GROUPS)
    for group in document["groups"]:
        assert group["images"] == GROUPS[group["name"]]
        for stage in NOISE:
            truth, mask, sure = flat(project, run, stage, group["name"])
            found = group["scores"][str(stage)]
            assert group["pixels"] == len(truth)
            matrix = metrics.confusion_matrix(truth, mask, labels=[1, 2, 3, 4])
            assert found["confusion"] == matrix.tolist()
            iou = metrics.jaccard_score(truth, mask, labels=[1, 2, 3], average=None)
            values = [found["iou"][name]["value"] for name in NAMES[:3]]
            assert values == pytest.approx(iou.tolist())
            assert found["iou"]["never"] is None
            assert found["miou"]["value"] == pytest.approx(iou.mean())
            accuracy = metrics.accuracy_score(truth, mask)
            assert found["accuracy"]["value"] == pytest.approx(accuracy)
            bins = np.minimum(sure / 255 * 10, 9).astype(int)
            parts = [(truth == mask)[bins == k] for k in range(10)]
            means = [sure[bins == k].sum() / 255 for k in range(10)]
            gaps = [abs(part.sum() - total) for part, total in zip(parts, means, strict=True)]
            assert found["calibration"]["ece"] == pytest.approx(sum(gaps) / len(truth))
            reached = sure / 255 >= 0.9
            at = next(one for one in found["kept"] if one["threshold"] == 0.9)
            assert at["accuracy"] == pytest.approx((truth == mask)[reached].mean())


def test_intervals_go_with_enough_images_and_differences_with_each_pair(
    made: tuple[Path, dict[str, Any]],
) -> None:
    groups = {group["name"]: group for group in made[1]["groups"]}
    for name, group in groups.items():
        scores = {key: one["miou"]["value"] for key, one in group["scores"].items()}
        pairs = {(one["from"], one["to"]): one for one in group["differences"]}
        assert list(pairs) == [("1", "2"), ("2", "3"), ("1", "3")]
        for (before, after), one in pairs.items():
            assert one["miou"]["value"] == pytest.approx(scores[after] - scores[before])
            assert one["iou"]["cell"]["value"] > 0 and one["iou"]["never"] is None
            assert (one["miou"]["low"] is None) == (name != "validation")


def test_agreement_and_shares_are_over_all_images(made: tuple[Path, dict[str, Any]]) -> None:
    project, document = Project(made[0]), made[1]
    run = find_run(project)
    masks = {s: np.stack([run.read_mask(s, one) for one in project.images]) for s in NOISE}
    for one in document["agreement"]:
        before, after = masks[int(one["from"])], masks[int(one["to"])]
        assert (one["images"], one["pixels"]) == (len(project.images), before.size)
        assert one["changed"] == pytest.approx((before != after).mean())
        assert one["transitions"][1][2] == ((before == 2) & (after == 3)).sum()
        cell = one["classes"]["cell"]
        assert cell["before"] == pytest.approx((before == 2).mean())
        assert cell["gained"] == pytest.approx(((before != 2) & (after == 2)).mean())
        assert cell["lost"] == pytest.approx(((before == 2) & (after != 2)).mean())
        assert document["fractions"][one["to"]]["fibre"] == pytest.approx((after == 3).mean())


def test_images_come_worst_first_each_with_where_to_look(
    made: tuple[Path, dict[str, Any]],
) -> None:
    project, document = Project(made[0]), made[1]
    run, listed = find_run(project), document["images"]
    scores = [one["miou"]["3"] for one in listed if one["miou"]["3"] is not None]
    assert len(listed) == len(project.images) and len(scores) == sum(GROUPS.values())
    assert scores == sorted(scores)
    changes = [one["changed"]["1>3"] for one in listed[len(scores) :]]
    assert len(changes) == UNLABELLED and changes == sorted(changes, reverse=True)
    worst, truth = listed[0], project.read_labels(listed[0]["id"])
    assert truth is not None
    wrong = (truth > 0) & (truth != run.read_mask(3, worst["id"]))
    rows, columns = (slice(*worst["place"][side]) for side in ("rows", "columns"))
    corners = [wrong[top:, left:][:48, :48].mean() for top in (0, 42) for left in (0, 52)]
    assert wrong[rows, columns].shape == (48, 48)
    assert wrong[rows, columns].mean() >= max(corners) > wrong.mean() > 0
    assert worst["why"] == (
        f"Stage 3 is wrong on {100 * wrong.sum() / (truth > 0).sum():.1f} % of the labelled pixels."
    )
    sure = confidence_of(run.read_mask(1, worst["id"]), 1).mean() / 255
    assert worst["confidence"]["1"] == pytest.approx(sure)


def test_labels_taken_over_from_a_run_do_not_judge_it(project: Project) -> None:
    accepted = next(one for one, record in project.images.items() if record.name == "unlabelled0")

    def entry() -> dict[str, Any]:
        document = build_document(project, columns_of_run(project))
        new = next(group for group in document["groups"] if group["name"] == "new")
        return {"images": new["images"]} | next(
            one for one in document["images"] if one["id"] == accepted
        )

    found = entry()
    assert (found["images"], found["group"], found["miou"]["3"]) == (2, "new", None)
    assert "taken over" in found["why"]
    truth = project.read_labels(accepted)
    assert truth is not None
    project.write_ground_truth(accepted, np.where(truth == 1, 2, 1), "painted")
    assert (entry()["images"], entry()["miou"]["3"] is None) == (3, False)


def test_images_of_earlier_runs_that_a_run_began_with_count_as_learned_from(
    project: Project,
) -> None:
    first = find_run(project)
    ids = list(project.images)
    masks = {2: {one: first.read_mask(2, one) for one in ids}}
    make_compared_run(project, masks, based_on=first.id, first_stage=2)
    document = build_document(project, columns_of_run(project))
    counts = {group["name"]: group["images"] for group in document["groups"]}
    assert counts == GROUPS  # nor do masks judge it that were taken over from the other run
    assert document["columns"][0]["key"] == "2" and document["agreement"] == []
    assert document["verdict"]["helped"] == "unknown"


def test_what_stages_noted_says_the_same_as_their_masks(
    project: Project, made: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in NOISE:
        (find_run(project).stage_path(stage) / "images.jsonl").unlink()
    read = build_document(project, columns_of_run(project))
    noted = made[1]
    for part in ("groups", "agreement", "alarms", "verdict"):
        text = json.dumps(read[part]).replace(str(project.path), str(made[0]))
        assert json.loads(text) == noted[part]
    assert read["fractions"] == noted["fractions"]
    pairs = zip(read["images"], noted["images"], strict=True)
    assert [one["why"] for one, _ in pairs] == [one["why"] for one in noted["images"]]
    # And nothing but what judges is read.
    seen = []
    original = Run.read_mask
    monkeypatch.setattr(
        Run, "read_mask", lambda self, stage, one: seen.append(one) or original(self, stage, one)
    )
    build_document(Project(made[0]), columns_of_run(Project(made[0])))
    assert len(seen) == 3 * sum(GROUPS.values()) and len(set(seen)) == sum(GROUPS.values())


def test_masks_follow_the_classes_of_the_project(project: Project) -> None:
    before = build_document(project, columns_of_run(project))
    ground, cell, fibre, _ = (entry.id for entry in project.classes)
    table = project.class_table.rename(cell, "nucleus").move(fibre, 0).add("later")
    project.set_class_table(table)
    after = build_document(project, columns_of_run(project))
    assert [one["name"] for one in after["classes"]] == [
        "fibre", "ground", "nucleus", "never", "later",
    ]  # fmt: skip
    order = [2, 0, 1, 3]
    for old, new in zip(before["groups"], after["groups"], strict=True):
        expected = np.array(old["scores"]["2"]["confusion"])[np.ix_(order, order)]
        found = np.array(new["scores"]["2"]["confusion"])
        assert found[:4, :4].tolist() == expected.tolist() and found.sum() == expected.sum()
        assert new["scores"]["2"]["miou"] == pytest.approx(old["scores"]["2"]["miou"])
        assert new["scores"]["2"]["iou"]["nucleus"] == old["scores"]["2"]["iou"]["cell"]
    assert after["fractions"]["1"]["nucleus"] == before["fractions"]["1"]["cell"]
    assert after["agreement"][0]["changed"] == before["agreement"][0]["changed"]

    project.set_class_table(project.class_table.merge(fibre, ground))
    merged = build_document(project, columns_of_run(project))
    share = before["fractions"]["1"]
    assert merged["fractions"]["1"]["ground"] == pytest.approx(share["ground"] + share["fibre"])
    assert merged["agreement"][0]["changed"] < before["agreement"][0]["changed"]

    project.set_class_table(project.class_table.remove(cell))
    deleted = build_document(project, columns_of_run(project))
    validation = deleted["groups"][0]
    # Neither the labels of the class nor what any stage took for it is compared any more.
    matrices = [np.array(one["confusion"]) for one in validation["scores"].values()]
    assert {matrix.sum() for matrix in matrices} == {validation["pixels"]}
    assert 0 < validation["pixels"] < before["groups"][0]["pixels"]
    truths = {tuple(matrix.sum(1)) for matrix in matrices}
    assert len(truths) == 1  # all columns are judged on the same pixels


def test_runs_are_compared_by_their_last_stages(project: Project) -> None:
    first = find_run(project)
    set_note(project, first.id, name="no flips")
    half = list(project.images)[::2]
    second = make_compared_run(
        project, {1: {one: first.read_mask(1, one) for one in half}}, list(project.images)[:2]
    )
    document = build_document(project, columns_of_runs(project, ["no flips", second.id]))
    keys = [f"{first.id}/3", f"{second.id}/1"]
    assert [one["key"] for one in document["columns"]] == keys
    assert [one["title"] for one in document["columns"]] == [
        "Stage 3 of “no flips”", f"Stage 1 of {second.id}",
    ]  # fmt: skip
    assert document["agreement"][0]["images"] == len(half) == len(document["images"])
    assert document["images"][0]["changed"].keys() == {">".join(keys)}
    assert document["alarms"] == []
    columns = columns_of_runs(project, [first.id, second.id], [1])
    assert [column.key for column in columns] == [f"{first.id}/1", f"{second.id}/1"]
    same = build_document(project, columns)["agreement"][0]
    assert same["changed"] == 0


def test_a_damaged_image_hides_no_other(project: Project) -> None:
    run = find_run(project)
    bad = next(one for one, record in project.images.items() if record.name == "validation0")
    chunk = next(
        path for path in (run.stage_path(2) / "masks" / bad).rglob("c/**/*") if path.is_file()
    )
    chunk.write_bytes(b"nothing")
    document = build_document(project, columns_of_run(project))
    assert [one["image"] for one in document["left_out"]] == [bad]
    assert "damaged" in document["left_out"][0]["reason"]
    assert document["groups"][0]["images"] == GROUPS["validation"] - 1


def test_a_comparison_tells_how_far_it_is_and_can_be_ended(project: Project) -> None:
    steps: list[tuple[int, int | None]] = []
    columns = columns_of_run(project)
    build_document(project, columns, lambda *step: steps.append(step))
    total = len(project.images)
    assert steps == [(done, total) for done in range(total + 1)]

    def end() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        build_document(project, columns, obey=end)


def test_what_is_not_there_is_a_sentence(project: Project) -> None:
    run = find_run(project)
    with pytest.raises(ProjectError, match="has no run nonsense"):
        columns_of_run(project, "nonsense")
    with pytest.raises(NotReadyError, match=r"no finished stage 4\. Finished: 1, 2, 3"):
        columns_of_run(project, None, [1, 4])
    with pytest.raises(ConfigError, match="two or more"):
        columns_of_runs(project, [run.id, run.id])
    empty = make_compared_run(project, {})
    with pytest.raises(NotReadyError, match="no finished stage"):
        columns_of_run(project, empty.id)
    strange = make_compared_run(project, {1: {}})
    with pytest.raises(NotReadyError, match="No image"):
        build_document(project, columns_of_run(project, strange.id))

"""What programs read: the preview of an import, and how far it is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from cli_helpers import Child, Result, draw_pair, fingerprint
from PIL import Image

from napari_threestage.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def folders(pictures: Path) -> list[object]:
    return ["--images", pictures / "images", "--masks", pictures / "masks"]


def test_a_preview_tells_what_the_import_does_and_changes_nothing(
    threestage: Callable[..., Result], project: Path, pictures: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    shutil.copytree(pictures / "images", new / "images")
    shutil.copytree(pictures / "masks", new / "masks")
    Image.fromarray(draw_pair(50)[0]).save(new / "images" / "more.png")
    (new / "images" / "notes.txt").write_text("no image")
    before = fingerprint(project)
    result = threestage("import", project, *folders(new), "--preview", "--json", "--progress")
    assert result.code == 0 and fingerprint(project) == before
    found = result.document
    assert found["counts"] == {
        "pairs": 9,
        "with_mask": 3,
        "unchecked": 0,
        "new": 1,
        "already_there": 8,
        "problem": 0,
    }
    assert [one["meaning"] for one in found["mask_values"]] == ["ground", "red", "blue"]
    assert [json.loads(line) for line in result.err.splitlines()][-1] == {"done": 9, "total": 9}
    shown = threestage("import", project, *folders(new), "--preview")
    assert fingerprint(project) == before
    for words in ("9 images, 3 with a mask and 6 without", "more", "already there", "notes.txt"):
        assert words in shown.out
    assert shown.err == "" and "Nothing was changed." in shown.out


def test_the_preview_of_a_project_that_is_being_changed(
    threestage: Callable[..., Result], project: Path, pictures: Path
) -> None:
    with Project(project).editing():
        assert threestage("import", project, *folders(pictures), "--preview").code == 0


def test_the_suggestion_is_shown_and_can_be_typed(
    threestage: Callable[..., Result], tmp_path: Path
) -> None:
    path = tmp_path / "two"
    assert threestage("init", path, "--classes", "ground,thing").code == 0
    for name, pixels in (("images", draw_pair(1)[0]), ("masks", (draw_pair(1)[1] > 0) * 255)):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / "a.png")
    shown = threestage("import", path, *folders(tmp_path), "--preview").out
    assert """With --mask-values '{"0": 1, "255": 2}' --unlabelled-value none, 0 is""" in shown
    better = ["--mask-values", '{"0": 1, "255": 2}', "--unlabelled-value", "none"]
    assert threestage("import", path, *folders(tmp_path), *better).code == 0
    project = Project(path)
    truth = project.read_labels(next(iter(project.images)))
    assert truth is not None and set(np.unique(truth)) == {1, 2}


def test_channels_can_be_tried_in_a_preview(
    threestage: Callable[..., Result], tmp_path: Path
) -> None:
    path = tmp_path / "two"
    assert threestage("init", path, "--classes", "ground,thing").code == 0
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 20, 20), np.uint16), photometric="minisblack")
    arguments = ("import", path, "--images", tmp_path / "a.tif", "--preview", "--json")
    found = threestage(*arguments).document
    assert len(found["channel_names"]) == 4 and found["counts"]["problem"] == 1
    assert threestage(*arguments, "--channels", "0,2").document["counts"]["new"] == 1
    assert Project(path).channels is None


def test_a_preview_of_nothing_is_one_sentence(
    threestage: Callable[..., Result], project: Path, tmp_path: Path
) -> None:
    arguments = ("import", project, "--images", tmp_path / "none", "--preview")
    assert "does not exist" in threestage(*arguments).sentence
    assert "does not exist" in threestage(*arguments, "--json", "--progress").sentence


def test_an_import_tells_its_progress_in_lines(
    threestage: Callable[..., Result], tmp_path: Path, pictures: Path
) -> None:
    path = tmp_path / "new"
    assert threestage("init", path, "--classes", "ground,red,blue").code == 0
    result = threestage("import", path, *folders(pictures), "--json", "--progress")
    assert len(result.document["imported"]) == 8
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert lines == [{"done": done, "total": 8} for done in range(1, 9)]


def test_an_import_that_fails_ends_with_one_error_behind_its_progress(
    threestage: Callable[..., Result], project: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    arguments = ("import", project, "--images", tmp_path / "bad.png", "--json", "--progress")
    result = threestage(*arguments)
    first, last = result.err.splitlines()
    assert json.loads(first) == {"done": 1, "total": 1}
    assert last == f"error: {result.sentence}" and result.document["message"] == result.sentence


# --- children of the process that edits -------------------------------------------------------


def test_a_child_imports_while_its_parent_edits_the_project(
    start_child: Callable[..., Child], project: Path, tmp_path: Path
) -> None:
    Image.fromarray(draw_pair(50)[0]).save(tmp_path / "more.png")
    opened = Project(project)
    with opened.editing():
        note = (project / ".edit.json").read_text()
        child = start_child("import", project, "--images", tmp_path / "more.png", "--json")
        result = child.end()
        assert result.code == 0, result.err
        assert (project / ".edit.json").read_text() == note
        opened.reload()
        (new,) = result.document["imported"]
        assert new in opened.images
        opened.write_ground_truth(new, draw_pair(50)[1] + 1, "painted")  # the lock is still ours
    assert not (project / ".edit.json").exists()


def test_others_do_not_import_while_a_project_is_edited(
    start_child: Callable[..., Child], project: Path, tmp_path: Path
) -> None:
    Image.fromarray(draw_pair(50)[0]).save(tmp_path / "more.png")
    between = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
    command = [sys.executable, "-m", "napari_threestage", "import", str(project), "--images"]
    with Project(project).editing():
        before = fingerprint(project)
        grandchild = subprocess.run(
            [sys.executable, "-c", between, *command, str(tmp_path / "more.png")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert grandchild.returncode == 1
        assert grandchild.stderr.startswith("error: Project") and "(process" in grandchild.stderr
        assert fingerprint(project) == before

"""``sample`` and ``doctor``, as people and programs call them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from napari_threestage import sample_archive
from napari_threestage.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli_helpers import Result


def test_the_list_says_what_there_is_and_where_it_comes_from(
    threestage: Callable[..., Result],
) -> None:
    listed = {one["name"]: one for one in threestage("sample", "--list", "--json").document}
    assert [name for name, one in listed.items() if one["offline"]] == ["tissue", "stack"]
    for one in listed.values():
        assert one["licence"] and one["images"] > one["labelled"] > 0
        assert one["offline"] or (one["home"] and one["citation"] and one["url"] and one["size"])
    shown = threestage("sample", "--list").out
    assert all(name in shown for name in listed) and "83 MB" in shown


def test_a_sample_becomes_a_project(threestage: Callable[..., Result], tmp_path: Path) -> None:
    result = threestage("sample", "stack", tmp_path / "project", "--json", "--progress")
    found = result.document
    assert found["project"] == str(tmp_path / "project")
    assert (found["images"], found["labelled"]) == (14, 6)
    assert len(Project(tmp_path / "project").images) == 14
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert lines[-1] == {"step": "images", "done": 14, "total": 14}
    assert threestage("check", tmp_path / "project").code == 0


def test_for_people_a_sample_says_what_to_do_next(
    threestage: Callable[..., Result], tmp_path: Path
) -> None:
    result = threestage("sample", "stack", tmp_path / "project")
    assert "14 images, 6 with labels" in result.out
    assert f"threestage run {tmp_path / 'project'}" in result.out and result.err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sample",), "Say which sample and where to"),
        (("sample", "tissue"), "Say which sample and where to"),
        (("sample", "cats", "new"), "There is no sample 'cats'. There are: tissue"),
        (("sample", "tissue", "."), "is not empty"),
        (("sample", "nuclei", "new", "--archive", "none.zip"), "none.zip does not exist"),
    ],
)
def test_wrong_words_are_one_sentence(
    threestage: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thesis.txt").write_text("years")
    assert words in threestage(*arguments).sentence
    result = threestage(*arguments, "--json", "--progress")
    assert result.document["message"] == result.sentence
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_without_a_connection_the_sentence_says_what_to_do(
    threestage: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr("pooch.retrieve", refuse)
    monkeypatch.setattr(sample_archive, "cache_folder", lambda: tmp_path / "cache")
    sentence = threestage("sample", "nuclei", tmp_path / "project").sentence
    assert "could not be fetched (no connection to data.broadinstitute.org)" in sentence
    assert "yourself and give --archive FILE" in sentence
    assert list(tmp_path.iterdir()) == []


def test_doctor_lists_the_devices_for_programs(threestage: Callable[..., Result]) -> None:
    found = threestage("doctor", "--json").document
    cpu, *others = found["devices"]
    assert cpu["id"] == "cpu" and cpu["name"] and cpu["cores"] >= 1
    assert all(one["memory"] > 0 and one["name"] for one in others)
    assert found["default_device"] in {one["id"] for one in found["devices"]}
    assert "devices" not in threestage("doctor").out

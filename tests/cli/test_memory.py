"""Memory is looked at before a run begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_helpers import TINY, latest

from napari_threestage.memory_estimate import FreeMemory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli_helpers import Result

SENTENCE = "Needs about "


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free = FreeMemory(2 * 10**8, 2 * 10**8)
    monkeypatch.setattr("napari_threestage.cli.memory.free_memory", lambda *device: free)


def test_check_tells_what_memory_a_run_needs(
    imported: Path, threestage: Callable[..., Result]
) -> None:
    plan = threestage("check", imported, "--device", "cpu", "--json").document
    assert plan["memory"]["host_bytes"] == sum(plan["memory"]["parts"].values()) > 0
    assert plan["free"]["host"] > 0
    shown = threestage("check", imported, "--device", "cpu")
    assert shown.code == 0
    assert SENTENCE in shown.out


def test_check_warns_when_a_run_does_not_fit(
    imported: Path, little_memory: None, threestage: Callable[..., Result]
) -> None:
    plan = threestage("check", imported, "--json").document
    (problem,) = [one for one in plan["problems"] if one["kind"] == "memory"]
    assert problem["level"] == "warning" and problem["fix"]
    shown = threestage("check", imported)
    assert shown.code == 0
    assert f"warning: {problem['message']} {problem['fix']}" in shown.out


def test_check_refuses_a_device_that_is_not_there(
    imported: Path, threestage: Callable[..., Result]
) -> None:
    assert (
        "'cuda:99' cannot be used" in threestage("check", imported, "--device", "cuda:99").sentence
    )


def test_a_run_tells_its_memory_before_it_trains(
    project: Path, little_memory: None, threestage: Callable[..., Result]
) -> None:
    shown = threestage("run", project, "--stages", "1", *TINY)
    assert shown.code == 0
    first, second, *_ = shown.out.splitlines()
    assert first.startswith(SENTENCE) and second.startswith("warning: The run needs about ")
    assert latest(project).finished_stages() == [1]  # it trains all the same


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_a_run_that_is_not_to_talk_does_not(
    project: Path, option: str, threestage: Callable[..., Result]
) -> None:
    shown = threestage("run", project, "--stages", "1", *TINY, option)
    assert shown.code == 0
    assert SENTENCE not in shown.out + shown.err

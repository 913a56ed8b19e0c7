"""Which images keep their masks."""

from __future__ import annotations

import pickle
import random
import re
from pathlib import Path

import numpy as np
import pytest
from data_set_helpers import write_list

from napari_threestage.benchmark.items import Item
from napari_threestage.benchmark.splits import (
    LABEL_COUNTS,
    choose_labelled,
    hold_out,
    read_order,
)
from napari_threestage.errors import ConfigError


def make_items(count: int) -> list[Item]:
    names = [f"im{number:03}" for number in range(count)]
    return [
        Item(name, Path("images", f"{name}.png"), Path("masks", f"{name}.png")) for name in names
    ]


ITEMS = make_items(100)


def names(items: list[Item]) -> list[str]:
    return [item.name for item in items]


@pytest.mark.parametrize(
    ("labelled", "count"), [(0.05, 5), (0.001, 2), (0.999, 100), (7, 7), (1, 1)]
)
def test_share_or_number(labelled: float, count: int) -> None:
    chosen = choose_labelled(ITEMS, labelled, seed=0)
    assert len(chosen) == count
    assert names(chosen) == sorted(names(chosen))


def test_choice_depends_on_the_seed_and_not_on_the_order_of_the_images() -> None:
    shuffled = random.Random(5).sample(ITEMS, len(ITEMS))
    assert choose_labelled(shuffled, 0.1, 3) == choose_labelled(ITEMS, 0.1, 3)
    assert choose_labelled(ITEMS, 0.1, 3) != choose_labelled(ITEMS, 0.1, 4)


def test_choice_stays_what_earlier_results_had() -> None:
    """Rows that are kept name a seed; it must mean the same images for ever."""
    by_path = sorted(item.image for item in ITEMS)
    expected = sorted(random.Random(1).sample(by_path, 3))
    assert [item.image for item in choose_labelled(ITEMS, 0.03, 1)] == expected
    assert names(choose_labelled(ITEMS, 0.03, 0)) == ["im049", "im053", "im097"]


@pytest.mark.parametrize("labelled", [0, -1, 1.5, float("nan"), float("inf"), 101])
def test_amounts_that_make_no_sense(labelled: float) -> None:
    with pytest.raises(ConfigError):
        choose_labelled(ITEMS, labelled, 0)


def test_order_is_followed_whatever_the_seed() -> None:
    order = ["im050", "im003", "im050", "elsewhere", "im010", "im000"]
    assert names(choose_labelled(ITEMS, 3, 0, order)) == ["im003", "im010", "im050"]
    assert choose_labelled(ITEMS, 3, 1, order) == choose_labelled(ITEMS, 3, 0, order)
    with pytest.raises(ConfigError, match="names 4 of the training images, but 5"):
        choose_labelled(ITEMS, 5, 0, order)


def test_held_out_part() -> None:
    kept, out = hold_out(ITEMS, 0.2)
    assert (len(kept), len(out)) == (80, 20)
    assert sorted(names(kept) + names(out)) == names(ITEMS)
    reversed_kept, same = hold_out(ITEMS[::-1], 0.2)
    assert same == out
    assert reversed_kept == kept[::-1]
    assert len(hold_out(make_items(2000), 0.5)[1]) == 100


def test_nothing_to_hold_out() -> None:
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(ConfigError, match="cannot be held out"):
            hold_out(ITEMS, share)
    with pytest.raises(ConfigError, match="Of 2 training images 1 cannot be held out"):
        hold_out(ITEMS[:2], 0.2)


def test_images_are_held_out_by_their_names() -> None:
    kept, out = hold_out(ITEMS[::-1], "^im00|5$")
    assert names(out) == [f"im{at:03d}" for at in (*range(10), *range(15, 100, 10))]
    assert kept == [item for item in ITEMS[::-1] if item not in out]


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        (
            "day1",
            "in the name of none of 100 training images. Give a part of names such as 'im000'",
        ),
        ("im(", "'im(' is no regular expression"),
        ("im", "Of 100 training images 100 cannot be held out"),
    ],
)
def test_names_that_hold_nothing_out(pattern: str, what: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(what)):
        hold_out(ITEMS, pattern)


def test_lists_of_names_files_paths_and_pairs(tmp_path: Path) -> None:
    lines = ["2007_000032", "", "a.v2", "b.png", "/JPEGImages/c.jpg /SegmentationClassAug/c.png"]
    lines += ["leftImg8bit/train/d/d_1_leftImg8bit.png gtFine/d.png", "with a space.jpg", "b"]
    order = read_order(write_list(tmp_path / "split.txt", lines))
    assert order == ["2007_000032", "a.v2", "b", "c", "d_1_leftImg8bit", "with a space"]


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["split_0.pkl", "split_0.txt"])
def test_pickles_are_refused_and_never_loaded(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Trap(tmp_path / "run")))
    with pytest.raises(ConfigError, match=r"numpy.save\('split_0.npy'"):
        read_order(tmp_path / name)
    assert not (tmp_path / "run").exists()


def test_the_advice_about_pickles_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = np.random.default_rng(0).permutation(100)
    (tmp_path / "split_0.pkl").write_bytes(pickle.dumps(order))
    with pytest.raises(ConfigError) as refusal:
        read_order(tmp_path / "split_0.pkl")
    monkeypatch.chdir(tmp_path)
    exec(refusal.value.hint.split('"')[1])
    assert read_order(tmp_path / "split_0.npy", ITEMS) == [f"im{place:03}" for place in order]


@pytest.mark.parametrize(
    "order", [np.arange(99), np.zeros(100, int), np.arange(100.0), np.arange(1, 101)]
)
def test_what_is_no_permutation(tmp_path: Path, order: np.ndarray) -> None:
    np.save(tmp_path / "split.npy", order)
    with pytest.raises(ConfigError, match="no permutation of 0 to 99"):
        read_order(tmp_path / "split.npy", ITEMS)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00"])
def test_splits_that_name_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "split.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=r"split\.txt"):
        read_order(tmp_path / "split.txt")


def test_splits_that_cannot_be_read(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([Trap(tmp_path / "run")]), allow_pickle=True)
    for name in ("objects.npy", "nowhere.npy", "nowhere.txt"):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_order(tmp_path / name, ITEMS)
    assert not (tmp_path / "run").exists()


def test_an_archive_named_as_an_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "split.npz", order=np.arange(100))
    (tmp_path / "split.npz").rename(tmp_path / "split.npy")
    with pytest.raises(ConfigError, match="archive of arrays"):
        read_order(tmp_path / "split.npy", ITEMS)


def test_label_counts_of_the_paper() -> None:
    assert [round(10582 / count) for count in LABEL_COUNTS["voc"]] == [100, 50, 20, 8]
    assert [round(2975 / count) for count in LABEL_COUNTS["cityscapes"]] == [30, 8, 4, 2]

"""What an import would do, told without doing it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_threestage.errors import ImageFileError
from napari_threestage.ingest import (
    ColourValues,
    ImportOptions,
    ImportPreview,
    import_images,
    load_mask_values,
    preview_import,
)
from napari_threestage.project import Project, default_classes

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT, WIDTH = 12, 16


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "data" / "images"


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return tmp_path / "data" / "masks"


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def grey(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH), np.uint8)


def halves(*values: int) -> np.ndarray:
    """A mask with stripes of these values."""
    return np.resize(np.array(values, np.uint8), WIDTH)[None].repeat(HEIGHT, axis=0)


def look(project: Project, images: Path, masks: Path | None = None, **more: Any) -> ImportPreview:
    limit = {"limit": more.pop("limit")} if "limit" in more else {}
    channels = more.pop("channels", None)
    return preview_import(
        project, [images], masks, ImportOptions(**more), channels=channels, **limit
    )


def pair(images: Path, masks: Path, mask: np.ndarray, number: int = 0) -> None:
    save(images / f"a{number}.png", grey(number))
    save(masks / f"a{number}.png", mask)


def test_rows_say_what_the_files_hold_and_nothing_is_changed(
    small_project: Project, images: Path, masks: Path
) -> None:
    pair(images, masks, halves(0, 1, 255, 0))
    save(images / "b.tif", np.zeros((5, HEIGHT, WIDTH), np.uint16))
    (images / "notes.txt").write_text("no image")
    before = {file: file.read_bytes() for file in small_project.path.rglob("*") if file.is_file()}
    preview = look(small_project, images, masks)
    assert before == {
        file: file.read_bytes() for file in small_project.path.rglob("*") if file.is_file()
    }
    first, second = preview.rows
    assert (first.name, first.shape, first.axes, first.dtype) == ("a0", "16 x 12", "cyx", "uint8")
    assert (first.channels, first.mask_shape, first.status) == (1, "16 x 12", "new")
    assert (second.shape, second.axes, second.dtype) == ("16 x 12 x 5", "czyx", "uint16")
    assert second.mask is None and second.mask_shape == ""
    assert (preview.pairs, preview.with_mask, preview.unchecked) == (2, 1, 0)
    assert [one.path.name for one in preview.skipped] == ["notes.txt"]
    assert [(one.value, one.share, one.meaning) for one in preview.mask_values] == [
        (0, 0.5, "background"),
        (1, 0.25, "nucleus"),
        (255, 0.25, "not labelled"),
    ]
    assert preview.suggestion is None


def test_a_preview_is_json(small_project: Project, images: Path, masks: Path) -> None:
    pair(images, masks, halves(0, 255))
    found = json.loads(json.dumps(look(small_project, images, masks).to_dict()))
    assert found["rows"][0]["mask"] == str(masks / "a0.png")
    assert found["counts"] == {
        "pairs": 1,
        "with_mask": 1,
        "unchecked": 0,
        "new": 1,
        "already_there": 0,
        "problem": 0,
    }
    assert found["suggestion"]["mask_values"] == {"0": 1, "255": 2}
    assert found["suggestion"]["unlabelled_value"] is None


def test_only_so_many_are_opened(small_project: Project, images: Path) -> None:
    for number in range(5):
        save(images / f"a{number}.png", grey(number))
    preview = look(small_project, images, limit=2)
    assert [row.name for row in preview.rows] == ["a0", "a1"]
    assert (preview.pairs, preview.unchecked) == (5, 3)


def test_what_is_there_already_and_what_would_become_of_its_labels(
    small_project: Project, images: Path, masks: Path
) -> None:
    for number in range(3):
        pair(images, masks, halves(0, 1), number)
    (masks / "a1.png").unlink()
    with small_project.editing():
        import_images(small_project, [images], masks, ImportOptions())
    pair(images, masks, halves(1, 0), 2)  # another mask
    save(masks / "a1.png", halves(0, 1))
    save(images / "a3.png", grey(3))
    rows = look(small_project, images, masks).rows
    assert [row.status for row in rows] == ["already there"] * 3 + ["new"]
    assert rows[0].note == "" and "would get this mask" in rows[1].note
    assert "kept; --replace-masks would" in rows[2].note
    assert "be replaced" in look(small_project, images, masks, replace_masks=True).rows[2].note
    assert "stays one" in look(small_project, images, masks, split="validation").rows[0].note


def test_another_image_of_a_known_name_is_new(small_project: Project, images: Path) -> None:
    save(images / "a.png", grey(0))
    with small_project.editing():
        import_images(small_project, [images], None, ImportOptions())
    save(images / "a.png", grey(1))
    assert look(small_project, images).rows[0].status == "new"


def test_each_problem_is_told_where_it_is(
    small_project: Project, images: Path, masks: Path
) -> None:
    pair(images, masks, halves(0, 1)[:-1], 0)
    pair(images, masks, halves(0, 9), 1)
    pair(images, masks, halves(0, 1), 2)
    (images / "a2.png").write_bytes((images / "a2.png").read_bytes()[:60])
    pair(images, masks, halves(0, 1), 3)
    rows = look(small_project, images, masks).rows
    assert [row.status for row in rows] == ["problem"] * 3 + ["new"]
    assert "16 x 11 pixels, its image a0.png 16 x 12" in rows[0].problem
    assert "values 9; allowed are 0 to 1" in rows[1].problem
    assert "a2.png" in rows[2].problem and rows[2].shape == "" and rows[2].mask_shape == "16 x 12"


def test_the_problems_are_those_of_the_import(
    small_project: Project, images: Path, masks: Path
) -> None:
    pair(images, masks, halves(0, 9), 0)
    pair(images, masks, halves(0, 1), 1)
    preview = look(small_project, images, masks)
    with small_project.editing():
        report = import_images(small_project, [images], masks, ImportOptions())
    assert [row.problem for row in preview.rows if row.problem] == [
        one.reason for one in report.failed
    ]


# --- channels ---------------------------------------------------------------------------------


def five_channels(images: Path) -> None:
    images.mkdir(parents=True)
    tifffile.imwrite(
        images / "many.tif",
        np.zeros((5, HEIGHT, WIDTH), np.uint8),
        imagej=True,
        metadata={"axes": "CYX", "Labels": ["DAPI", "GFP", "RFP", "CY5", "BF"]},
    )


def test_channels_that_have_to_be_chosen_are_named(small_project: Project, images: Path) -> None:
    five_channels(images)
    preview = look(small_project, images)
    assert preview.channel_names == ("DAPI", "GFP", "RFP", "CY5", "BF")
    assert "5 channels" in preview.rows[0].problem
    assert "(0 is DAPI, 1 is GFP," in preview.rows[0].problem
    assert "--channels 0,1,2" in preview.rows[0].problem


def test_chosen_channels_are_no_problem_and_are_not_kept(
    small_project: Project, images: Path
) -> None:
    five_channels(images)
    preview = look(small_project, images, channels=[0, 4])
    assert preview.rows[0].status == "new" and preview.channel_names == ()
    assert small_project.channels is None
    assert "the project uses channel 5" in look(small_project, images, channels=[5]).rows[0].problem


def test_an_image_with_another_number_of_channels_is_a_problem(
    small_project: Project, images: Path
) -> None:
    save(images / "a.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    save(images / "b.tif", np.zeros((2, HEIGHT, WIDTH), np.uint8))
    rows = look(small_project, images).rows
    assert rows[0].status == "new"
    assert "b.tif has 2 channels, the other images have 3" in rows[1].problem


# --- values -----------------------------------------------------------------------------------


def suggested(project: Project, images: Path, masks: Path, **options: Any) -> Any:
    """Return the suggestion after checking that the import it proposes works as it says."""
    suggestion = look(project, images, masks, **options).suggestion
    assert suggestion is not None
    # As a person would type it, and as JSON gives it.
    text = suggestion.to_dict()["mask_values"]
    values = load_mask_values(text if isinstance(text, str) else json.dumps(text))
    assert values == suggestion.mask_values and type(values) is type(suggestion.mask_values)
    changed = {"mask_values": values, "unlabelled_value": suggestion.unlabelled_value}
    after = look(project, images, masks, **(options | changed))
    assert after.count("problem") == 0 and after.suggestion is None
    assert all(one.label is not None for one in after.mask_values)
    return suggestion


@pytest.fixture
def three(tmp_path: Path) -> Project:
    """A project of three classes."""
    return Project.create(tmp_path / "three", default_classes(["ground", "leaf", "spot"]))


def test_black_and_white_masks_are_asked_about(
    small_project: Project, images: Path, masks: Path
) -> None:
    pair(images, masks, halves(0, 255), 0)
    pair(images, masks, halves(0), 1)  # an image without any nucleus
    suggestion = suggested(small_project, images, masks)
    assert suggestion.mask_values == {0: 1, 255: 2}
    assert suggestion.sentence == (
        "Now 0 is background, 255 is not labelled. With --mask-values "
        '\'{"0": 1, "255": 2}\' --unlabelled-value none, 0 is background, 255 is nucleus.'
    )


def test_black_and_white_masks_are_asked_about_with_more_classes_too(
    three: Project, images: Path, masks: Path
) -> None:
    pair(images, masks, halves(0, 255))
    assert suggested(three, images, masks).mask_values == {0: 1, 255: 2}


def test_values_from_one_are_noticed(three: Project, images: Path, masks: Path) -> None:
    pair(images, masks, halves(0, 1, 2, 3))
    preview = look(three, images, masks)
    assert preview.mask_values[3].meaning == "no class: the 3 classes have 0 to 2"
    assert preview.mask_values[3].label is None
    suggestion = suggested(three, images, masks)
    assert (suggestion.mask_values, suggestion.unlabelled_value) == ("one-based", 255)
    assert "0 is not labelled, 1 is ground, 2 is leaf, 3 is spot" in suggestion.sentence


def test_one_based_masks_read_as_such_need_no_suggestion(
    three: Project, images: Path, masks: Path
) -> None:
    pair(images, masks, halves(0, 1, 2, 3))
    preview = look(three, images, masks, mask_values="one-based")
    assert preview.suggestion is None
    assert [one.label for one in preview.mask_values] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("values", "options", "mapping", "unlabelled"),
    [
        ((0, 100, 200), {}, {0: 1, 100: 2, 200: 3}, None),
        ((10, 100, 200, 255), {}, {10: 1, 100: 2, 200: 3}, 255),
        ((0, 60, 120, 180), {}, {0: 0, 60: 1, 120: 2, 180: 3}, 255),
        ((0, 1, 2, 255), {"unlabelled_value": None}, "index", 255),
        ((0, 1, 2, 254), {}, "index", 254),
        ((0, 1, 2), {"mask_values": {0: 1}}, "index", 255),
        ((0, 1, 2), {"mask_values": "rgb"}, "index", 255),
    ],
)
def test_options_that_fit_are_found(
    three: Project,
    images: Path,
    masks: Path,
    values: tuple[int, ...],
    options: dict[str, Any],
    mapping: Any,
    unlabelled: int | None,
) -> None:
    pair(images, masks, halves(*values))
    suggestion = suggested(three, images, masks, **options)
    assert suggestion.mask_values == mapping
    assert suggestion.unlabelled_value == unlabelled or unlabelled not in values


@pytest.mark.parametrize("values", [(0, 1, 2, 3, 4, 5), (7,), (3, 9)])
def test_nothing_is_proposed_for_values_that_could_be_anything(
    three: Project, images: Path, masks: Path, values: tuple[int, ...]
) -> None:
    pair(images, masks, halves(*values))
    preview = look(three, images, masks)
    assert preview.suggestion is None and preview.count("problem") == 1


def test_the_mapping_given_by_hand_is_not_questioned(
    small_project: Project, images: Path, masks: Path
) -> None:
    pair(images, masks, halves(0, 255))
    preview = look(small_project, images, masks, mask_values={0: 1, 255: 0})
    assert preview.suggestion is None


def colours(project: Project, *more: tuple[int, int, int]) -> np.ndarray:
    table = np.array([*(entry.color for entry in project.classes), *more], np.uint8)
    return table[np.arange(WIDTH) % len(table)][None].repeat(HEIGHT, axis=0)


def test_the_colours_of_the_classes_are_noticed(three: Project, images: Path, masks: Path) -> None:
    pair(images, masks, colours(three))
    preview = look(three, images, masks)
    assert {one.meaning for one in preview.mask_values} == {"no class: a colour, not a value"}
    suggestion = suggested(three, images, masks)
    assert suggestion.mask_values == "rgb"
    assert "is no class" in suggestion.sentence


def test_other_colours_become_a_mapping(small_project: Project, images: Path, masks: Path) -> None:
    table = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0)], np.uint8)
    pair(images, masks, table[np.arange(WIDTH) % 3][None].repeat(HEIGHT, axis=0))
    suggestion = suggested(small_project, images, masks, mask_values="rgb")
    assert isinstance(suggestion.mask_values, ColourValues)
    assert suggestion.to_dict()["mask_values"] == {"#000000": 0, "#00ff00": 1, "#ff0000": 2}


def test_of_very_many_values_the_most_frequent_are_listed(
    small_project: Project, images: Path, masks: Path
) -> None:
    save(images / "a.png", grey(0))
    save(masks / "a.png", np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH))
    assert len(look(small_project, images, masks).mask_values) == 50


def test_a_mask_that_holds_no_whole_numbers_has_no_values(
    small_project: Project, images: Path, masks: Path
) -> None:
    save(images / "a.png", grey(0))
    save(masks / "a.tif", np.full((HEIGHT, WIDTH), 0.5, np.float32))
    preview = look(small_project, images, masks)
    assert preview.mask_values == () and "not whole" in preview.rows[0].problem


def test_options_that_contradict_themselves_are_an_error_and_no_problem_of_each_file(
    small_project: Project, images: Path, masks: Path
) -> None:
    pair(images, masks, halves(0, 1))
    with pytest.raises(ImageFileError, match="name class 9, but there are 2"):
        look(small_project, images, masks, mask_values={0: 9})


def test_progress_ends_at_all(small_project: Project, images: Path) -> None:
    for number in range(3):
        save(images / f"a{number}.png", grey(number))
    told: list[tuple[int, int]] = []
    preview_import(
        small_project,
        [images],
        None,
        ImportOptions(),
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "is no JSON object"), ('{"0": -1}', "gives '0'"), ("{}", "does not map")],
)
def test_a_wrong_mapping_on_the_command_line_is_a_sentence(text: str, words: str) -> None:
    with pytest.raises(ImageFileError, match=words):
        load_mask_values(text)

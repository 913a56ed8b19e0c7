"""What a person chose to export, as they could type it, and what is said of the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_threestage.errors import ConfigError
from napari_threestage.export_choice import (
    MASK_FORMATS,
    MODEL_FORMATS,
    ApplyChoice,
    CardText,
    ExportChoice,
    MasksChoice,
    Model,
    Switches,
    default_file,
    file_to_write,
    forget_emptied,
    format_of,
    read_card,
    say_existing,
    split_names,
)
from napari_threestage.export_report import say_applied, say_export, say_masks

STAGE = Model(Path("/p"), "20260101-000000-quick", 3)
NAMED = ["--run", "20260101-000000-quick", "--stage", "3"]


def test_an_export_is_what_a_person_could_type() -> None:
    card = CardText("Cells", "- finds cells", "Ada L.; ;Alan T.", "MIT", "A paper")
    choice = ExportChoice(STAGE, "onnx", Path("/o/m.onnx"), card)
    assert choice.arguments() == [
        *("export", "/p", *NAMED, "--format", "onnx", "--output", "/o/m.onnx"),
        *("--name=Cells", "--description=- finds cells", "--licence=MIT"),
        *("--cite=A paper", "--author=Ada L.", "--author=Alan T.", "--json", "--progress"),
    ]


def test_empty_fields_are_no_options() -> None:
    given = ExportChoice(STAGE, "pt2", Path("/o/m.pt2")).arguments()
    assert given == [
        *("export", "/p", *NAMED, "--format", "pt2", "--output", "/o/m.pt2"),
        *("--json", "--progress"),
    ]


def test_an_application_is_what_a_person_could_type() -> None:
    plain = ApplyChoice(Model(Path("/m.safetensors")), (Path("/a"), Path("/b.tif")), Path("/o"))
    assert plain.arguments() == [
        *("predict", "/m.safetensors", "--images", "/a", "/b.tif", "--output", "/o"),
        *("--as", "tiff", "--json", "--progress"),
    ]
    switches = Switches(*[True] * 5)
    full = ApplyChoice(STAGE, (Path("/a"),), Path("/o"), "coco", "zyx", switches).arguments()
    assert full[:6] == ["predict", "/p", *NAMED]
    assert full[full.index("--as") :] == [
        *("--as", "coco", "--axes", "zyx", "--confidence", "--probabilities", "--statistics"),
        *("--flips", "--skip-empty", "--json", "--progress"),
    ]
    large = ApplyChoice(STAGE, (Path("/a"),), Path("/o"), magnify=0.125).arguments()
    assert large[large.index("--magnify") + 1] == "0.125"


def test_masks_are_those_of_a_stage_or_the_ground_truth() -> None:
    truth = MasksChoice(Path("/p"), Path("/o")).arguments()
    assert truth == [
        *("export-masks", "/p", "--output", "/o", "--as", "tiff", "--stage", "ground_truth"),
        *("--json", "--progress"),
    ]
    stage = MasksChoice(Path("/p"), Path("/o"), "r", 2, "geojson", statistics=True).arguments()
    assert stage[4:] == [
        *("--as", "geojson", "--stage", "2", "--run", "r", "--statistics"),
        *("--json", "--progress"),
    ]


def test_the_default_file_says_what_is_in_it() -> None:
    for kind in MODEL_FORMATS:
        path = default_file(Path("/data/my cells"), 3, kind)
        assert path == Path(f"/data/my cells/exports/my-cells-stage-3{kind.suffix}")
    assert format_of(MASK_FORMATS, "coco").title == "COCO"


def test_names_are_parted_by_semicolons() -> None:
    assert split_names(" Lovelace, Ada ; Turing, Alan;; ") == ["Lovelace, Ada", "Turing, Alan"]
    assert split_names("") == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, CardText()),
        ("{", CardText()),
        ("[1]", CardText()),
        (json.dumps({"name": 3, "authors": None, "cite": {}}), CardText()),
        (
            json.dumps(
                {
                    "name": "Cells",
                    "description": "two\nlines",
                    "authors": ["A", "B", 3],
                    "licence": "MIT",
                    "cite": [{"text": "A paper", "url": "x"}, "Another"],
                }
            ),
            CardText("Cells", "two lines", "A; B", "MIT", "A paper; Another"),
        ),
        (json.dumps({"authors": "A", "cite": "C"}), CardText(authors="A", citation="C")),
    ],
)
def test_the_last_card_is_read_whatever_is_in_it(
    tmp_path: Path, content: str | None, expected: CardText
) -> None:
    if content is not None:
        (tmp_path / "exports").mkdir()
        (tmp_path / "exports" / "card.json").write_text(content)
    assert read_card(tmp_path) == expected


def test_several_citations_stay_several(tmp_path: Path) -> None:
    cited = ["A paper, https://a.org/x;y", "Another, https://b.org"]
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "card.json").write_text(json.dumps({"cite": cited}))
    card = read_card(tmp_path)
    assert card.citation == "; ".join(cited)
    assert card.arguments() == [f"--cite={one}" for one in cited]
    assert CardText(citation=" A ; ").arguments() == ["--cite=A"]


@pytest.mark.parametrize("key", [kind.key for kind in MODEL_FORMATS])
@pytest.mark.parametrize("name", ["m", "m.v2", "m.ONNX", "m.pt2", "m.safetensors", "m.a.zip"])
def test_the_file_is_named_as_the_command_does(key: str, name: str) -> None:
    from napari_threestage.export.formats import with_suffix

    try:
        expected = with_suffix(Path("/o") / name, key)
    except ConfigError:
        with pytest.raises(ConfigError, match=f"{name} has the ending of the format"):
            file_to_write(Path("/o") / name, key)
    else:
        assert file_to_write(Path("/o") / name, key) == expected


def test_a_folder_alone_names_no_file() -> None:
    with pytest.raises(ConfigError, match="/ is no file"):
        file_to_write(Path("/"), "onnx")


def test_only_an_export_is_said_to_be_replaced(tmp_path: Path) -> None:
    target = tmp_path / "m.onnx"
    assert say_existing(target) == say_existing(tmp_path / ("m" * 300)) == ""
    target.touch()
    assert say_existing(target) == (
        "m.onnx is there already and is no export: choose another name."
    )
    (tmp_path / "m.onnx.json").touch()
    assert say_existing(target) == "m.onnx is there already and will be replaced."


def test_what_was_emptied_is_forgotten(tmp_path: Path) -> None:
    forget_emptied(tmp_path, CardText())  # nothing was ever remembered
    file = tmp_path / "exports" / "card.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"name": "Cells", "authors": ["A"], "licence": "MIT", "own": 1}))
    forget_emptied(tmp_path, CardText(name="Cells", licence="MIT"))
    assert json.loads(file.read_text()) == {"name": "Cells", "licence": "MIT", "own": 1}


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (
            {"largest_difference": 3.2e-07, "checked_with": "onnxruntime", "bytes": 3 * 2**20},
            (
                "Wrote m.onnx (3.0 MB).",
                "Verified with onnxruntime: largest difference 3e-7.",
            ),
        ),
        (
            {
                "largest_difference": 0.0,
                "checked_with": {"onnxruntime": "1.31", "numpy": "2.4"},
                "bytes": 10,
            },
            ("Wrote m.onnx (1 KB).", "Verified with onnxruntime 1.31, numpy 2.4: no difference."),
        ),
        ({}, ("Wrote m.onnx.", "")),
    ],
)
def test_an_export_says_how_it_was_checked(
    report: dict[str, object], said: tuple[str, str]
) -> None:
    assert say_export({"file": "/o/m.onnx"} | report) == said


def test_an_application_says_what_failed_and_why() -> None:
    assert say_applied({"files": ["a"], "other_pixels": []}) == ("Wrote 1 file.", "")
    other = say_applied({"files": ["a"], "other_pixels": [["a.tif", 2.0]] * 6})[1]
    assert other.startswith("Pixels are not as large as in the training: 2 times in a.tif, 2 times")
    assert other.endswith("2 times in a.tif, 2 more. If masks are poor, set Magnify to that.")
    failed = [[f"{number}.tif", "It is damaged."] for number in range(6)]
    sentence, reasons = say_applied({"files": ["a", "b"], "failed": failed})
    assert sentence == "Wrote 2 files. 6 could not be segmented:"
    assert reasons.splitlines()[0] == "0.tif: It is damaged."
    assert reasons.splitlines()[-1] == "… and 2 more."
    named = say_applied({"files": [], "failed": [["a.tif", "a.tif is empty."]]})
    assert named[1] == "a.tif is empty."
    nothing = say_applied({"files": [], "failed": failed[:1]})
    assert nothing == ("Nothing was written. 1 could not be segmented:", "0.tif: It is damaged.")


def test_masks_say_how_many_images_have_none() -> None:
    report = {"files": ["a"], "without_mask": 1, "statistics": "/o/s.csv"}
    assert say_masks(report) == (
        "Wrote 1 file and their statistics.",
        "1 image has no such mask.",
    )
    assert say_masks({"files": ["a", "b"], "without_mask": 0}) == ("Wrote 2 files.", "")

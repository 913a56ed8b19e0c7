"""Projects of samples: drawn ones, and real ones from archives of the layout of their homes."""

from __future__ import annotations

import socket
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_threestage import sample_archive
from napari_threestage.check import plan_run
from napari_threestage.config import load_config
from napari_threestage.errors import ConfigError, ImageFileError, ProjectError
from napari_threestage.project import Project
from napari_threestage.sample_archive import Archive, FetchError, Remote, fetch
from napari_threestage.sample_layouts import COFFEE_COLOURS
from napari_threestage.sample_sets import SAMPLES, find_sample, make_project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

IDS = [f"{number:02x}" * 32 for number in range(12)]


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def nuclei_files(prefix: str = "") -> dict[str, bytes]:
    """RGBA images, and one black and white mask for each of two nuclei."""
    files = {}
    for number, name in enumerate(IDS):
        rng = np.random.default_rng(number)
        image = rng.integers(0, 256, (20, 24, 4), np.uint8)
        files[f"{prefix}{name}/images/{name}.png"] = encoded(image)
        for nucleus in range(2):
            mask = np.zeros((20, 24), np.uint8)
            mask[2 + 8 * nucleus : 6 + 8 * nucleus, 3:9] = 255
            files[f"{prefix}{name}/masks/{nucleus}abc.png"] = encoded(mask)
    return files


def coffee_files() -> dict[str, bytes]:
    """Photographs, and coloured masks of which every second lacks symptoms."""
    root = "lara2018-a6c38b69/segmentation/dataset"
    files = {f"{root}/annotations-info.txt": b"{}", "lara2018-a6c38b69/README.md": b"Coffee"}
    for number in range(24):
        part = "val" if number % 4 == 3 else "train"
        image = np.random.default_rng(number).integers(0, 256, (512, 1024, 3), np.uint8)
        index = np.zeros((512, 1024), int)
        index[100:400, 200:800] = 1
        index[200:240, 300:340] = 2 if number % 2 else 1
        mask = np.array(COFFEE_COLOURS, np.uint8)[index]
        files[f"{root}/images/{part}/{number}.jpg"] = encoded(image, "JPEG")
        files[f"{root}/annotations/{part}/{number}_mask.png"] = encoded(mask)
    return files


@pytest.fixture
def nuclei_zip(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "nuclei.zip", nuclei_files())


def labelled(project: Project) -> list[str]:
    return [one for one in project.images if project.label_attributes(one) is not None]


def ready(project: Project) -> bool:
    return not any(one.level == "error" for one in plan_run(project, load_config("quick")).problems)


# --- drawn ------------------------------------------------------------------------------------


def test_tissue_is_a_project_that_can_be_trained(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    path = tmp_path / "project"
    project = make_project(SAMPLES["tissue"], path, on_progress=lambda *entry: told.append(entry))
    again = Project(path)
    assert len(again.images) == 46 and len(labelled(again)) == 6
    assert [entry.name for entry in again.classes] == ["background", "cell", "fibre", "debris"]
    assert {record.shape for record in again.images.values()} == {(3, 160, 160)}
    truth = project.read_labels(labelled(project)[0])
    assert truth is not None and truth.min() == 1
    assert told[-1] == ("images", 46, 46) and len(told) == 46
    assert ready(again)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The drawn stacks, which no test may change."""
    return make_project(SAMPLES["stack"], tmp_path_factory.mktemp("stack"))


def test_stack_has_planes_channels_16_bits_and_strokes(stack: Project) -> None:
    project, sample = stack, SAMPLES["stack"]
    assert (len(project.images), len(labelled(project))) == (sample.images, sample.labelled)
    assert {record.axes for record in project.images.values()} == {"czyx", "cyx"}
    assert {record.dtype for record in project.images.values()} == {"uint16"}
    assert project.n_channels == 3
    for one in labelled(project):
        counts = project.label_counts(one)
        assert counts[0] > 0.8 * counts.sum() and counts[1:].min() > 20
    image = project.read_image(next(iter(project.images)))
    assert image.scale["z"] == 1.0 and image.unit["x"] == "micrometer"
    assert image.channel_names == ("nuclei", "matrix", "autofluorescence")
    assert ready(project)


def test_strokes_lie_on_what_they_name(stack: Project) -> None:
    """The middle planes are sharp, so a stroke on a cell is brighter than one on nothing."""
    one = next(name for name in labelled(stack) if name.startswith("plane"))
    truth, pixels = stack.read_labels(one), np.asarray(stack.read_image(one).data)
    assert truth is not None
    assert pixels[1][truth == 2].mean() > 1.3 * pixels[1][truth == 1].mean()


def test_the_same_sample_is_the_same(stack: Project, tmp_path: Path) -> None:
    projects = [stack, make_project(SAMPLES["stack"], tmp_path)]
    assert list(projects[0].images) == list(projects[1].images)
    for name in labelled(projects[0]):
        assert np.array_equal(*(one.read_labels(name) for one in projects))  # type: ignore[arg-type]


# --- from archives ----------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "stage1_train/"])
def test_nuclei_of_an_image_become_one_mask(tmp_path: Path, prefix: str) -> None:
    archive = write_zip(tmp_path / "a.zip", nuclei_files(prefix))
    project = make_project(SAMPLES["nuclei"], tmp_path / "project", archive=archive)
    assert len(project.images) == len(IDS)
    assert len(labelled(project)) == SAMPLES["nuclei"].labelled
    one = labelled(project)[0]
    assert project.images[one].shape == (3, 20, 24)
    assert project.label_counts(one).tolist() == [0, 20 * 24 - 48, 48]
    assert ready(project)


def test_what_is_kept_does_not_depend_on_the_order_in_the_archive(
    tmp_path: Path, nuclei_zip: Path
) -> None:
    files = dict(reversed(nuclei_files().items()))
    other = write_zip(tmp_path / "other.zip", files)
    one, two = (
        make_project(SAMPLES["nuclei"], tmp_path / archive.stem, archive=archive)
        for archive in (nuclei_zip, other)
    )
    assert labelled(one) == labelled(two) and list(one.images) == list(two.images)


def test_coffee_leaves_are_reduced_and_keep_masks_with_all_classes(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", coffee_files())
    project = make_project(SAMPLES["coffee"], tmp_path / "project", archive=archive)
    assert len(project.images) == 24 and len(labelled(project)) == SAMPLES["coffee"].labelled
    for one in labelled(project):
        assert project.images[one].shape == (3, 256, 512)
        assert project.label_counts(one)[0] == 0
        assert project.label_counts(one)[1:].tolist() == [256 * 512 - 45000, 44600, 400]


def test_another_archive_is_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", coffee_files())
    with pytest.raises(ImageFileError, match="holds no image with masks where"):
        make_project(SAMPLES["nuclei"], tmp_path / "project", archive=archive)
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04cut off"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ImageFileError, match="no zip file, or is cut off"):
        make_project(SAMPLES["nuclei"], tmp_path / "project", archive=tmp_path / "a.zip")


def test_an_archive_that_is_missing_or_a_folder_is_a_sentence(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none.zip", "does not exist"), (tmp_path, "is a folder")):
        with pytest.raises(ImageFileError, match=words):
            make_project(SAMPLES["nuclei"], tmp_path / "project", archive=path)


def test_a_damaged_member_leaves_no_half_project(tmp_path: Path, nuclei_zip: Path) -> None:
    content = bytearray(nuclei_zip.read_bytes())
    with zipfile.ZipFile(nuclei_zip) as archive:
        last = sorted(name for name in archive.namelist() if "/images/" in name)[5]
        place = archive.getinfo(last).header_offset + 30 + len(last) + 100
    content[place] ^= 0xFF
    nuclei_zip.write_bytes(content)
    (tmp_path / "project").mkdir()
    with pytest.raises(ImageFileError, match="is damaged"):
        make_project(SAMPLES["nuclei"], tmp_path / "project", archive=nuclei_zip)
    assert list((tmp_path / "project").iterdir()) == []


def linked(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = 0o120777 << 16
    return entry


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/etc/evil.png", "absolute path"),
        ("C:/evil.png", "absolute path"),
        ("\\\\host\\evil.png", "absolute path"),
        ("../../evil.png", "leads out"),
        ("a/../../evil.png", "leads out"),
        ("a\\..\\evil.png", "leads out"),
        (linked("a/link.png"), "is a link"),
    ],
)
def test_archives_that_could_do_harm_are_not_opened(
    tmp_path: Path, name: str | zipfile.ZipInfo, words: str
) -> None:
    path = write_zip(tmp_path / "a.zip", nuclei_files())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"/etc/passwd")
    with pytest.raises(ImageFileError, match=words):
        make_project(SAMPLES["nuclei"], tmp_path / "inner" / "project", archive=path)
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.zip"}


@pytest.mark.parametrize(
    ("limit", "words"),
    [("MOST_MEMBERS", "lists 36 files"), ("MOST_BYTES", "GiB"), ("MOST_BYTES_OF_ONE", "MiB")],
)
def test_archives_of_absurd_size_are_not_opened(
    nuclei_zip: Path, monkeypatch: pytest.MonkeyPatch, limit: str, words: str
) -> None:
    monkeypatch.setattr(sample_archive, limit, 10)
    with pytest.raises(ImageFileError, match=words):
        Archive(nuclei_zip)


def test_an_encrypted_archive_is_not_opened(nuclei_zip: Path) -> None:
    content = bytearray(nuclei_zip.read_bytes())
    place = content.index(b"PK\x01\x02")
    content[place + 8] |= 1
    nuclei_zip.write_bytes(content)
    with pytest.raises(ImageFileError, match="is encrypted"):
        Archive(nuclei_zip)


# --- the folder -------------------------------------------------------------------------------


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    for folder in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(ProjectError, match="is not empty"):
            make_project(SAMPLES["stack"], folder)
    assert (tmp_path / "thesis.txt").read_text() == "years"


def test_what_was_interrupted_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(step: str, done: int, total: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_project(SAMPLES["stack"], tmp_path / "new", on_progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_unknown_samples_and_needless_archives_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There are: tissue, stack"):
        find_sample("cats")
    with pytest.raises(ConfigError, match="needs no archive"):
        make_project(SAMPLES["stack"], tmp_path, archive=tmp_path / "a.zip")


# --- fetching ---------------------------------------------------------------------------------


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sample_archive, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def served(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server of `tmp_path`."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = partial(_Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def unused_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address at which nobody listens."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/a.zip"


def test_a_file_is_fetched_once_with_progress(
    served: str, cache: Path, nuclei_zip: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[int, int | None]] = []
    remote = Remote(f"{served}/nuclei.zip", "kept.zip")
    path = fetch(remote, lambda done, total: told.append((done, total)))
    assert path == cache / "kept.zip" and path.read_bytes() == nuclei_zip.read_bytes()
    size = nuclei_zip.stat().st_size
    assert told[-1] == (size, size)
    nuclei_zip.unlink()
    assert fetch(remote, lambda done, total: pytest.fail("again")) == path
    assert capfd.readouterr() == ("", "")


def test_a_sample_is_fetched_and_made(served: str, nuclei_zip: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    sample = replace(SAMPLES["nuclei"], remote=Remote(f"{served}/nuclei.zip", "kept.zip"))
    project = make_project(
        sample, tmp_path / "project", on_progress=lambda step, *_: steps.append(step)
    )
    assert len(project.images) == len(IDS)
    assert list(dict.fromkeys(steps)) == ["fetching", "images"]


def test_what_is_fetched_is_checked_against_its_hash(served: str, nuclei_zip: Path) -> None:
    remote = Remote(f"{served}/nuclei.zip", "kept.zip", known_hash="sha256:" + "0" * 64)
    with pytest.raises(FetchError, match="not the file that was expected"):
        fetch(remote)


def test_a_missing_file_says_what_the_server_answered(served: str, cache: Path) -> None:
    with pytest.raises(FetchError, match=r"a\.zip could not be fetched .*answered 404") as caught:
        fetch(Remote(f"{served}/none.zip", "a.zip"))
    assert f"download {served}/none.zip yourself and give --archive FILE" in caught.value.hint
    assert not list(cache.glob("*.zip"))


def test_without_a_connection_there_is_a_sentence_and_no_folder(
    tmp_path: Path, cache: Path, unused_url: str
) -> None:
    sample = replace(SAMPLES["nuclei"], remote=Remote(unused_url, "a.zip"))
    with pytest.raises(FetchError, match=r"\(no connection to 127\.0\.0\.1\)\. Check"):
        make_project(sample, tmp_path / "project")
    assert not (tmp_path / "project").exists()

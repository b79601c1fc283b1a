"""Which images a model learned from, and that those which are to calibrate are not among them."""

import logging
from pathlib import Path

import pytest

from wafer_data.config import DataConfig
from wafer_data.errors import DataError, InputError
from wafer_data.learned_from import FILE, LearnedFrom, require_unseen
from wafer_data.store import ImageStore, prepare_data


@pytest.fixture
def other_split(mvtec_folder: Path, tmp_path: Path) -> ImageStore:
    """The images of `tiny_store`, split otherwise."""
    config = DataConfig(format="mvtec", root=str(mvtec_folder), calibration_fraction=0.4, seed=1)
    return prepare_data(config, tmp_path / "other")


def test_the_note_holds_the_training_images_and_no_others(tiny_store: ImageStore, tmp_path: Path) -> None:
    LearnedFrom.of(tiny_store).write(tmp_path)
    noted = LearnedFrom.read(tmp_path)
    assert noted is not None and noted.fingerprint == tiny_store.fingerprint
    assert noted.images == {record.sha256 for record in tiny_store.records if record.split == "train"}


def test_images_of_the_same_preparation_are_not_compared(
    tiny_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LearnedFrom.of(tiny_store).write(tmp_path)
    monkeypatch.setattr(ImageStore, "indices", lambda *_: pytest.fail("compared"))
    require_unseen([tmp_path], tiny_store)


def test_a_model_that_calibration_images_taught_is_named(
    tiny_store: ImageStore, other_split: ImageStore, tmp_path: Path
) -> None:
    LearnedFrom.of(other_split).write(tmp_path)
    with pytest.raises(DataError, match=r"[1-9]\d* of the \d+ images .* taught the model in .*fit_teacher"):
        require_unseen([tmp_path], tiny_store)


def test_what_taught_a_teacher_taught_its_student(
    tiny_store: ImageStore, other_split: ImageStore, tmp_path: Path
) -> None:
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    for folder in (teacher, student):
        folder.mkdir()
    LearnedFrom.of(other_split).write(teacher)
    LearnedFrom.of(tiny_store, [LearnedFrom.read(teacher)]).write(student)
    with pytest.raises(DataError, match="student"):
        require_unseen([student], tiny_store)


def test_of_a_model_of_an_earlier_version_nothing_is_said(
    tiny_store: ImageStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        require_unseen([tmp_path], tiny_store)
    assert "does not say which images it learned from" in caplog.text
    assert LearnedFrom.of(tiny_store, require_unseen([tmp_path], tiny_store)) == LearnedFrom.of(tiny_store)


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"schema": 2}', '{"schema": 1, "data_fingerprint": "a"}', "{"]
)
def test_a_damaged_note_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError, match=FILE):
        LearnedFrom.read(tmp_path)

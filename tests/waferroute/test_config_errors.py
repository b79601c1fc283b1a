"""A wrong configuration stops at once with the place, the key, and what is allowed."""

from pathlib import Path

import pytest

from wafer_data.errors import InputError
from waferroute.config import RunConfig, load_config

GOOD = "run:\n  dir: runs/x\ndata:\n  format: elpv\n"


@pytest.fixture
def write(tmp_path: Path):
    def make(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return make


def message_of(path: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_config(path, overrides)
    return str(caught.value)


def test_an_unknown_key_is_answered_with_the_closest_known_one(write):
    message = message_of(write(GOOD + "  elvp_cells: poly\n"))
    assert "mine.yaml" in message
    assert "unknown key data.elvp_cells" in message
    assert "did you mean data.elpv_cells?" in message


def test_an_unknown_section_lists_the_sections(write):
    message = message_of(write(GOOD + "modell: {}\n"))
    assert "unknown key modell" in message
    assert all(section in message for section in RunConfig.model_fields)


def test_a_key_in_the_wrong_section_is_answered_with_where_it_belongs(write):
    message = message_of(write(GOOD + "teacher:\n  escalation_target: 0.1\n"))
    assert "did you mean router.escalation_target?" in message


def test_a_wrong_choice_names_the_choices(write):
    message = message_of(write("run:\n  dir: x\ndata:\n  format: coco\n"))
    assert 'data.format takes one of mvtec, folder, elpv, shards, not "coco"' in message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("  min_side: big", 'data.min_side takes a whole number >= 1, not "big"'),
        ("  min_side: 25.5", "data.min_side takes a whole number >= 1, not 25.5"),
        ("  min_side: 0", "data.min_side takes a whole number >= 1, not 0"),
        ("  min_side: '256'", 'data.min_side takes a whole number >= 1, not "256"'),
        ("  skip_bad_images: 1", "data.skip_bad_images takes true or false, not 1"),
        ("  name: 12", "data.name takes text or null, not 12"),
        ("  expected_size: 64", "data.expected_size takes a list, each entry a whole number or null, not 64"),
        (
            "  expected_size: [64, x]",
            'data.expected_size.1 takes a list, each entry a whole number or null, not "x"',
        ),
    ],
)
def test_a_wrong_type_or_range_names_what_is_allowed(write, line, says):
    message = message_of(write(GOOD + line + "\n"))
    assert says in message
    assert "mine.yaml" in message


def test_the_size_that_models_see_is_no_setting(write):
    assert "data.image_size" in message_of(write(GOOD + "  image_size: 128\n"))


def test_a_value_that_fits_no_branch_of_a_union_is_reported_once(write):
    message = message_of(write(GOOD + "router:\n  full_weight: heavy\n"))
    assert message.count("router.full_weight takes a number or auto") == 1


def test_a_missing_key_is_named_with_what_it_takes(write):
    message = message_of(write("run: {}\ndata:\n  format: elpv\n"))
    assert "run.dir is missing; it takes text" in message


def test_a_missing_section_is_named(write):
    assert "data is missing; it takes a section with the keys format" in message_of(write("run:\n  dir: x\n"))


def test_a_section_written_as_a_value_is_named(write):
    assert "teacher takes a section with the keys backbone" in message_of(write(GOOD + "teacher: resnet\n"))


def test_an_impossible_combination_keeps_the_sentence_of_its_section(write):
    message = message_of(write("run:\n  dir: x\ndata:\n  format: folder\n"))
    assert "data: format=folder needs root" in message


def test_all_mistakes_are_reported_together(write):
    message = message_of(write(GOOD + "  min_side: 0\nrouter:\n  confidence: 2\n"), "run.seed=-1")
    assert len(message.splitlines()) == 3
    assert all(key in message for key in ("data.min_side", "router.confidence", "run.seed"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("run:\n  dir: [x\ndata:\n", "line 3"),
        ("run:\n  dir: x\n  dir: y\n", "line 3"),
        ("run:\n\tdir: x\n", "line 2"),
    ],
)
def test_a_yaml_mistake_names_the_line(write, text, line):
    message = message_of(write(text))
    assert f"mine.yaml, {line}: not valid YAML" in message


@pytest.mark.parametrize("text", ["", "- 1\n- 2\n", "12\n", "word\n"])
def test_a_file_without_sections_is_refused(write, text):
    assert "run" in message_of(write(text))


def test_files_that_cannot_be_read_are_named(tmp_path: Path):
    assert "nowhere.yaml does not exist" in message_of(tmp_path / "nowhere.yaml")
    assert "is a folder" in message_of(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    assert "not a text file" in message_of(binary)
    binary.write_text("[" * 100_000)
    assert "not valid YAML" in message_of(binary)


def test_a_value_left_to_fill_in_is_asked_for(write):
    path = write("run:\n  dir: x\ndata:\n  format: mvtec\n  root: ???\n")
    assert "data.root must be filled in" in message_of(path)
    assert load_config(path, ["data.root=images"]).data.root == "images"


def test_a_reference_that_leads_nowhere_is_named(write):
    message = message_of(write(GOOD.replace("runs/x", "${data.nme}")))
    assert "mine.yaml" in message and "data.nme" in message


class TestOverrides:
    def test_characters_that_the_shell_cannot_hold_are_said_so(self, write):
        text = "data.root=/" + "数据".encode().decode("ascii", "surrogateescape")
        assert "language settings of this shell" in message_of(write(GOOD), text)

    @pytest.mark.parametrize("text", ["data.format", "=3", "data..root=x", ".x=1"])
    def test_must_be_key_and_value(self, write, text):
        assert f"override {text!r} is not of the form key=value" in message_of(write(GOOD), text)

    def test_must_be_yaml(self, write):
        message = message_of(write(GOOD), "data.expected_size=[1, 2")
        assert "override 'data.expected_size=[1, 2': its value is not valid YAML" in message

    def test_are_named_when_they_are_wrong(self, write):
        message = message_of(write(GOOD), "data.elpv_cells=round")
        assert message.startswith(
            "override 'data.elpv_cells=round': data.elpv_cells takes one of mono, poly, both"
        )

    def test_are_named_when_their_key_is_unknown(self, write):
        assert message_of(write(GOOD), "router.flagrate=0.1").startswith(
            "override 'router.flagrate=0.1': unknown key router.flagrate; did you mean router.flag_rate?"
        )

    def test_are_not_blamed_for_mistakes_in_the_file(self, write):
        message = message_of(write(GOOD + "  min_side: 0\n"), "data.seed=3")
        assert "mine.yaml: data.min_side" in message

    def test_cannot_reach_into_a_value(self, write):
        message = message_of(write(GOOD), "data.format.kind=elpv")
        assert "override 'data.format.kind=elpv'" in message and "data.format" in message

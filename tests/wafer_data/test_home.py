"""`~` is the home folder wherever a path is typed."""

from pathlib import Path

import pytest

from teacher.config import TeacherConfig
from wafer_data.config import DataConfig
from wafer_data.home import expand
from waferroute.cli.start import expanded
from waferroute.config import RunSection


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")


def test_in_the_configuration() -> None:
    assert RunSection(dir="~/runs/x").dir == "/home/somebody/runs/x"
    data = DataConfig(format="folder", root="~/good", defects="~/bad")
    assert (data.root, data.defects) == ("/home/somebody/good", "/home/somebody/bad")
    assert TeacherConfig(backbone="file", model="resnet18", weights="~/w.pt").weights == "/home/somebody/w.pt"


def test_on_the_command_line_also_behind_an_equals_sign() -> None:
    assert expanded("run.dir=~/runs/x") == "run.dir=/home/somebody/runs/x"
    assert expanded("--heatmaps=~/maps") == "--heatmaps=/home/somebody/maps"
    assert expanded("~/images") == "/home/somebody/images"


@pytest.mark.parametrize("text", ["a~b", "x/~/y", "~nobody-of-this-name/x", "data.name=a~", "data.root=~"])
def test_elsewhere_it_is_a_character(text: str) -> None:
    assert expanded(text) == text
    assert expand(text) == text


def test_a_home_alone() -> None:
    assert expand("~") == str(Path("/home/somebody"))

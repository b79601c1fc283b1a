"""A version's name says how much it differs from the one before."""

import pytest

from service.versions.names import VersionName, change_between, parse_name
from wafer_data.errors import InputError


def manifest(**changes: object) -> dict:
    files = {"lowres.onnx": {"sha256": "a"}, "full.onnx": {"sha256": "b"}, "policy.json": {"sha256": "c"}}
    return {"files": files, "preprocessing": {"image_size": 256}, "recipes": {"a": {}, "b": {}}, **changes}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "none"),
        ({"files": {**manifest()["files"], "policy.json": {"sha256": "x"}}}, "patch"),
        ({"files": {**manifest()["files"], "full.onnx": {"sha256": "x"}}}, "minor"),
        ({"preprocessing": {"image_size": 512}}, "major"),
        ({"files": {**manifest()["files"], "policy.json": {"sha256": "x"}}, "recipes": {"a": {}}}, "major"),
    ],
)
def test_what_changed_decides_the_number(changed: dict, expected: str):
    assert change_between(manifest(), manifest(**changed)) == expected


def test_a_raised_number_resets_those_behind_it():
    name = VersionName(2, 3, 1)
    assert str(name.next("major")) == "vae-wafer-v3.0.0"
    assert str(name.next("minor")) == "vae-wafer-v2.4.0"
    assert str(name.next("patch")) == "vae-wafer-v2.3.2"


@pytest.mark.parametrize("text", ["vae-wafer-v2.3.1", "v2.3.1", "2.3.1"])
def test_short_forms_are_understood(text: str):
    assert parse_name(text) == VersionName(2, 3, 1)


@pytest.mark.parametrize("text", ["", "v2.3", "2.3.x", "../2.3.1", "vae-wafer-v1.2.3\n"])
def test_other_texts_are_no_names(text: str):
    with pytest.raises(InputError, match="not the name of a version"):
        parse_name(text)

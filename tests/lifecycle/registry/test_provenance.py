"""What is kept with a version of where it comes from."""

import json
from pathlib import Path

import pytest

from lifecycle.registry.provenance import about_run


@pytest.mark.parametrize("provenance", [None, [1], "text", 3])
def test_a_bundle_that_does_not_say_where_it_comes_from_is_pushed_all_the_same(
    tmp_path: Path, provenance: object
):
    (tmp_path / "manifest.json").write_text(json.dumps({"provenance": provenance}))
    assert "data_fingerprint" not in about_run(None, tmp_path)


def test_what_a_bundle_says_of_itself_goes_along(tmp_path: Path):
    (tmp_path / "manifest.json").write_text(
        json.dumps({"provenance": {"data_fingerprint": "abc", "more": {}}})
    )
    assert about_run(None, tmp_path)["data_fingerprint"] == "abc"

"""What is made of a shard lies under its name: never two under one, and where it lay before."""

import re

import pytest

from wafer_data.shards.names import shard_names


def test_a_name_of_its_own_is_the_path_in_plain_characters():
    paths = ["s000.tar", "line 1/s000.tar", "2024/05/lot_7.v2.tar", "检-1.tar"]
    assert shard_names(paths) == ["s000", "line-1-s000", "2024-05-lot_7.v2", "--1"]


@pytest.mark.parametrize(
    "paths", [["x/a.tar", "x-a.tar"], ["检.tar", "验.tar"], ["a b.tar", "a(b.tar", "a/b.tar"]]
)
def test_paths_of_one_plain_name_are_told_apart(paths):
    names = shard_names(["other.tar", *paths])
    assert names[0] == "other" and len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)


def test_a_name_that_was_made_stays_when_the_archive_grows():
    assert shard_names(["x-a.tar", "x/a.tar", "x a.tar"])[:2] == shard_names(["x-a.tar", "x/a.tar"])

"""Archives: every result is the runtime's, interrupted work goes on, and the nearest images are found."""

import io
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tool_side.archive.nearest import NearestImages
from tool_side.archive.run import Job, score_archive
from tool_side.archive.score import ArchiveScorer, low_latent
from tool_side.runtime.inspector import Inspector
from wafer_data.errors import DataError
from wafer_data.shards import Item
from wafer_data.shards.parquet import write_parquet
from waferroute.cli import main

COUNT, ROWS = 60, 20


@pytest.fixture(scope="module")
def archive(tmp_path_factory, wafer):
    folder = tmp_path_factory.mktemp("archive")
    items = [_item(i, wafer(1000 + i, 0.4 if i % 10 == 3 else 0.0)) for i in range(COUNT)]
    items[30] = Item("damaged.png", b"no image", None, {"lot": "L1"})
    for start in range(0, COUNT, ROWS):
        write_parquet(folder / f"s{start:03}.parquet", items[start : start + ROWS])
    return folder


@pytest.fixture(scope="module")
def scored(tmp_path_factory, archive, bundle):
    out = tmp_path_factory.mktemp("scored") / "out"
    return out, score_archive(str(archive), Job(str(bundle), out))


def _item(number, grey):
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "png")
    return Item(f"w{number:03}.png", file.getvalue(), None, {"lot": f"L{number // 25}", "wafer": number % 25})


def _rows(out):
    return [row for part in sorted(out.glob("*.parquet")) for row in pq.read_table(part).to_pylist()]


def test_each_row_is_what_the_runtime_says(archive, scored, bundle):
    out, summary = scored
    inspector, rows = Inspector(bundle), _rows(out)
    items = [row for part in sorted(archive.glob("*.parquet")) for row in pq.read_table(part).to_pylist()]
    assert len(rows) == COUNT and {row["decision"] for row in rows} >= {"PASS", "REVIEW"}
    for item, row in zip(items, rows, strict=True):
        expected = inspector.inspect(item["image"]).to_dict()
        for name in ("decision", "route", "score", "lowres_score", "full_score", "reasons"):
            assert row[name] == expected[name]
        assert (row["source"], row["lot"], row["wafer"]) == (item["source"], item["lot"], item["wafer"])
    damaged = rows[30]
    assert damaged["decision"] == "REVIEW" and damaged["unreadable"] and damaged["latent"] is None
    assert summary["images"] == COUNT and summary["unjudged"] == 1
    assert summary["decisions"] == {d: sum(r["decision"] == d for r in rows) for d in summary["decisions"]}
    assert summary["images_per_second_without_decoding"] > summary["images_per_second"] > 0


def test_latents_are_the_low_resolution_students_whatever_the_route(archive, scored, bundle):
    inspector, rows = Inspector(bundle), _rows(scored[0])
    assert {row["route"] for row in rows if row["latent"]} == {"lowres", "full"}
    for row in rows:
        if row["latent"] is not None:
            assert row["latent"][1] == pytest.approx(row["lowres_score"], abs=1e-7)
    assert ArchiveScorer(inspector).latent == 2
    full = next(row for row in rows if row["route"] == "full")
    image = next(
        item["image"]
        for part in sorted(archive.glob("*.parquet"))
        for item in pq.read_table(part).to_pylist()
        if item["source"] == full["source"]
    )
    assert full["latent"] == low_latent(inspector, inspector.prepare(image), None).tolist()


def test_finished_parts_are_kept_and_a_lost_or_changed_one_is_made_again(
    tmp_path, archive, bundle, scored, monkeypatch
):
    out = tmp_path / "out"
    shutil.copytree(scored[0], out)
    own = tmp_path / "archive"
    shutil.copytree(archive, own, copy_function=shutil.copy2)
    job, done = Job(str(bundle), out), []
    score = ArchiveScorer.score
    monkeypatch.setattr(
        ArchiveScorer, "score", lambda self, s, p: (done.append(s.name), score(self, s, p))[1]
    )
    score_archive(str(own), job)
    assert done == []
    (out / "s020.parquet").unlink()
    score_archive(str(own), job)
    assert done == ["s020"] and _rows(out) == _rows(scored[0])
    write_parquet(own / "s000.parquet", [_item(7, np.full((256, 256), 90, np.uint8))])
    assert score_archive(str(own), job)["images"] == COUNT - ROWS + 1
    assert done == ["s020", "s000"]


def test_shards_whose_paths_look_alike_keep_their_results_apart(tmp_path, bundle, wafer):
    for path, numbers in (("x/a", (1,)), ("x-a", (2, 3)), ("检", (4, 5, 6)), ("验", (7, 8, 9, 10))):
        items = [_item(number, wafer(1000 + number)) for number in numbers]
        write_parquet(tmp_path / "archive" / f"{path}.parquet", items)
    job = Job(str(bundle), tmp_path / "out")
    assert score_archive(str(tmp_path / "archive"), job)["images"] == 10
    assert sorted(row["source"] for row in _rows(job.out)) == [f"w{number:03}.png" for number in range(1, 11)]
    again = score_archive(str(tmp_path / "archive"), job)
    assert (again["images"], again["shards_scored_now"]) == (10, 0)


def test_a_run_that_fails_at_a_damaged_shard_keeps_what_it_did(tmp_path, archive, bundle):
    own, out = tmp_path / "archive", tmp_path / "out"
    shutil.copytree(archive, own)
    (own / "s020.parquet").write_bytes(b"damaged" * 99)
    with pytest.raises(DataError, match=r"s020\.parquet is damaged"):
        score_archive(str(own), Job(str(bundle), out))
    assert [path.name for path in out.iterdir()] == ["s000.parquet"]


def test_two_workers_write_the_same_results(tmp_path, archive, bundle, scored):
    out = tmp_path / "out"
    score_archive(str(archive), Job(str(bundle), out), workers=2)
    assert _rows(out) == _rows(scored[0])


def test_two_workers_of_a_ray_cluster_write_the_same_results(tmp_path, archive, bundle, scored):
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'waferroute[ray]')")
    pytest.importorskip("pandas", reason="pandas, which Ray Data needs, is not installed")
    from tool_side.archive.on_ray import ray_passes

    out = tmp_path / "out"
    summary = score_archive(str(archive), Job(str(bundle), out), ray_passes("local", 2))
    assert _rows(out) == _rows(scored[0]) and summary["decisions"] == scored[1]["decisions"]


def test_results_of_another_bundle_or_archive_are_not_mixed_in(
    tmp_path, archive, bundle, write_bundle, student_graph, scored
):
    out = tmp_path / "out"
    shutil.copytree(scored[0], out)
    other = write_bundle(tmp_path / "other", lowres=student_graph(16))
    with pytest.raises(DataError, match="another bundle"):
        score_archive(str(archive), Job(str(other), out))
    (out / "s000.parquet").rename(out / "x.parquet")
    with pytest.raises(DataError, match="not of this archive"):
        score_archive(str(archive), Job(str(bundle), out))


def test_the_nearest_image_to_a_stored_one_is_itself(tmp_path, scored, bundle, archive, capsys):
    out = tmp_path / "out"
    shutil.copytree(scored[0], out)
    image = tmp_path / "query.png"
    image.write_bytes(pq.read_table(archive / "s020.parquet").to_pylist()[4]["image"])
    assert main(["nearest", str(out), str(image), "--bundle", str(bundle), "-k", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0]["source"] == "w024.png" and found[0]["distance"] == pytest.approx(0, abs=1e-5)
    assert found[0]["part"] == "s020.parquet" and found[0]["row"] == 4 and len(found) == 3
    when = (out / "nearest.faiss").stat().st_mtime_ns
    NearestImages(out)
    assert (out / "nearest.faiss").stat().st_mtime_ns == when


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("nearest.faiss", b"junk" * 99),
        ("nearest.faiss", None),
        ("nearest.arrow", b"junk" * 99),
        ("nearest.arrow", b""),
        ("nearest.json", b"junk"),
        ("nearest.json", b"[1]"),
        ("nearest.json", b'{"key": KEY, "count": 59}'),
        ("nearest.json", b'{"key": KEY, "count": 59, "starts": ["a"]}'),
        ("nearest.json", b'{"key": KEY, "count": 58, "starts": [0, 20, 40]}'),
        ("nearest.json", b'{"key": KEY, "count": 59, "starts": []}'),
    ],
)
def test_a_damaged_index_is_built_again(tmp_path, scored, name, content):
    out = tmp_path / "out"
    shutil.copytree(scored[0], out)
    whole = NearestImages(out)
    query = np.zeros(2, np.float32)
    expected, key = whole.search(query), json.loads((out / "nearest.json").read_text())["key"]
    (out / name).unlink()
    if content is not None:
        (out / name).write_bytes(content.replace(b"KEY", json.dumps(key).encode()))
    assert NearestImages(out).search(query) == expected
    assert json.loads((out / "nearest.json").read_text())["starts"] == [0, 20, 40]


def test_the_index_finds_what_comparing_with_all_finds(tmp_path, monkeypatch):
    from tool_side.archive import nearest
    from tool_side.archive.results import Totals, write_part

    monkeypatch.setattr(nearest, "EXACT", 100)
    random = np.random.default_rng(0)
    vectors = random.normal(size=(4000, 16)).astype(np.float32)
    for start in range(0, 4000, 1000):
        rows = [
            {
                "source": str(i),
                "row": i - start,
                "decision": "PASS",
                "latent": None if i % 50 == 7 else vectors[i].tolist(),
            }
            for i in range(start, start + 1000)
        ]
        write_part(tmp_path / f"p{start:04}.parquet", rows, Totals(), 16, "key", "bundle")
    index, hits = nearest.NearestImages(tmp_path), 0
    there = np.array([i for i in range(4000) if i % 50 != 7])
    assert index.count == len(there)
    for query in random.normal(size=(50, 16)).astype(np.float32):
        expected = there[np.argsort(np.square(vectors[there] - query).sum(1))[:10]]
        found = [int(one.source) for one in index.search(query, 10)]
        hits += len(set(found) & set(expected.tolist()))
    assert hits / 500 > 0.8, "cells at the border may be passed over, most must be found"


def test_the_command_prints_a_summary_and_names_what_is_wrong(tmp_path, archive, bundle, capsys):
    out = str(tmp_path / "out")
    assert main(["score", str(archive), "--bundle", str(bundle), "--out", out, "--no-latents"]) == 0
    assert "images a second and core" in capsys.readouterr().out
    assert main(["nearest", out, str(tmp_path / "x.png"), "--bundle", str(bundle)]) == 2
    assert "without --no-latents" in capsys.readouterr().err
    assert main(["score", str(tmp_path / "no"), "--bundle", str(bundle), "--out", out]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_a_recipe_that_the_bundle_does_not_know_costs_no_result(tmp_path, archive, bundle, capsys):
    scored = ["score", str(archive), "--bundle", str(bundle), "--out", str(tmp_path / "out")]
    assert main(scored) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    capsys.readouterr()
    assert main([*scored, "--recipe", "nothing_of_the_kind"]) == 2
    assert "unknown recipe 'nothing_of_the_kind'" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before

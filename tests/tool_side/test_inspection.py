"""A result is frozen and open: it keeps its image's identity, and others add evidence."""

import dataclasses
import json
import pickle
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from router.decision import Route
from tool_side.runtime.inspector import Inspector
from tool_side.sinks import Sink, Tally
from tool_side.watch.csv import CsvCopy
from tool_side.watch.done import ArrivedFile, FileState
from tool_side.watch.journal import Journal
from wafer_data.image_ref import ImageRef

IDENTITY = {"tool": "T1", "layer": "M1", "lot": "L1", "wafer": "W1", "site": "42"}


def test_the_identity_travels_from_the_source_to_the_result(inspector: Inspector, wafer) -> None:
    taken = datetime(2026, 5, 4, tzinfo=UTC)
    found = inspector.inspect(ImageRef(data=wafer(1), **IDENTITY, time=taken))
    assert (found.ref.wafer, found.ref.time, found.ref.data) == ("W1", taken, None)
    assert found.to_dict()["image"] == IDENTITY | {"time": taken.isoformat()}
    assert found.source == "<array>" and found.bundle == inspector.bundle_id


def test_it_does_not_change(inspector: Inspector, wafer) -> None:
    found = inspector.inspect(wafer(1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.decision = "PASS"  # type: ignore[misc]
    with pytest.raises(TypeError):
        found.evidence["more"] = 1  # type: ignore[index]


def test_others_add_evidence_and_it_stands_in_json(inspector: Inspector, wafer) -> None:
    found = inspector.inspect(wafer(1))
    more = found.with_evidence(defect_type={"scratch": 0.9}, where=np.zeros(3))
    assert "evidence" not in found.to_dict() and "defect_type" not in found.evidence
    assert json.loads(json.dumps(more.to_dict()))["evidence"] == {"defect_type": {"scratch": 0.9}}
    assert more.map is found.map and more.route is Route.LOWRES


def test_it_can_be_sent_to_another_process(inspector: Inspector, wafer) -> None:
    found = inspector.inspect(wafer(1))
    back = pickle.loads(pickle.dumps(found))
    assert back.to_dict() == found.to_dict()
    np.testing.assert_array_equal(back.map, found.map)


def test_every_sink_takes_the_same_results(inspector: Inspector, wafer, tmp_path: Path) -> None:
    refs = [
        ArrivedFile(path=f"{n}.png", data=wafer(n), sha256="0" * 64, state=FileState(1, 2, 3))
        for n in range(3)
    ]
    results = [inspector.inspect(ref) for ref in refs]
    with Journal(tmp_path / "r.jsonl") as journal, CsvCopy(tmp_path / "r.csv") as table:
        journal.load(table.add)
        table.publish()
        tally = Tally()
        sinks: list[Sink] = [journal, table, tally]
        for sink in sinks:
            sink.write(results)
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_bytes().splitlines()]
    assert [line["source"] for line in lines] == ["0.png", "1.png", "2.png"]
    assert {line["bundle"] for line in lines} == {inspector.bundle_id}
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 4 and tally.images == 3

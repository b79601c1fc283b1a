"""A worker that watches over versions, with a candidate in shadow and an engineer's browser."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from lifecycle.conductor.drift_state import keep_look
from lifecycle.conductor.shadow import start_shadow
from lifecycle.modules import SERVICE_MODULES
from service.app import open_service
from service.settings import Settings
from service.state import Service
from service.store.ship import Shipper
from service.store.tables import shadow_scores
from service.versions.folder import VersionFolder
from service.versions.follow import first_version
from tests.lifecycle.conftest import answering
from tests.service.conftest import png
from tests.service.review.conftest import _quick_passwords, inspectors, log_in, running

__all__ = ["_quick_passwords", "inspectors", "log_in", "running"]
SHADOW = "vae-wafer-v1.1.0"


@pytest.fixture
def service(tmp_path: Path, folder: VersionFolder) -> Service:
    start_shadow(folder, "v1.1.0")
    version, _ = first_version(folder)
    return open_service(Settings(data=tmp_path / "data", node="a", modules=SERVICE_MODULES), version)


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with answering(service) as running:
        service.shadow.close()  # what it said is written below, by hand
        yield running


@pytest.fixture
def compared(client: TestClient, service: Service) -> list[str]:
    """Ids of six images; the shadow PASSed the first two, which production stopped."""
    ids, decisions = [], []
    for i in range(6):
        path = f"/api/v1/inspect?wafer_id=W{i % 2}&inspection_point={i}&tool=T{i % 2}&layer=M1"
        answer = client.post(path, content=png(5000 + i, 0.4 if i < 2 else 0.0)).json()
        ids.append(answer["id"])
        decisions.append(answer["decision"])
    assert all(decision != "PASS" for decision in decisions[:2])
    shipper = Shipper(service.journal, service.database, service.images)
    while shipper.ship():
        pass
    rows = [
        {"inspection_id": one, "version": SHADOW, "decision": "PASS" if i < 2 else decisions[i], "route": "lowres",
         "score": 0.1, "inference_ms": 1.0, "at": time.time()}
        for i, one in enumerate(ids)
    ]  # fmt: skip
    with service.database.write() as connection:
        connection.execute(service.database.insert_new(shadow_scores), rows)
    return ids


@pytest.fixture
def drifted(client: TestClient, service: Service) -> float:
    """Two looks that raise the same alarm. Returns the time of the first."""
    first = time.time() + 3600  # later than what the worker itself looks at
    alarm = {
        "cause": "tool",
        "where": "T7",
        "streams": [["T7", "M1", "r"]],
        "text": "drift, tool T7",
        "p": 1e-9,
    }
    finding = {
        "recipe": "r", "what": "level", "statistic": 1.2, "p": 1e-9, "alarm": True,
        "figures": {"tool": "T7", "layer": "M1", "recipe": "r", "watch": "level", "what": "score higher",
                    "effect": 1.2, "p": 1e-9, "units": [12, 3]},
    }  # fmt: skip
    with service.database.write() as connection:
        assert len(keep_look(connection, "vae-wafer-v1.0.0", first, [alarm], [finding])) == 1
        assert keep_look(connection, "vae-wafer-v1.0.0", first + 3600, [alarm], [finding]) == []
    return float(np.floor(first))

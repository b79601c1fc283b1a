"""A service that has inspected synthetic images and whose people have spoken, and a training that takes no time.

The service, its database, images, verdicts and versions are real. The training is not: where these tests are about
anything else, a ready bundle takes its place. `test_whole_retraining.py` trains.
"""

import io
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
import yaml
from PIL import Image
from starlette.testclient import TestClient

from lifecycle.retraining import evaluate, train
from lifecycle.retraining.config import RetrainingConfig
from lifecycle.retraining.plan import Plan, begin
from service.app import create_app, open_service
from service.auth.keys import make_key
from service.auth.who import ROLES, Who
from service.review.tasks import Said, give_verdict, lease_next, open_task
from service.settings import Settings
from service.state import Service
from service.store.database import Database, sqlite_url
from service.store.migrate import migrate
from service.store.ship import Shipper
from service.store.tables import inspections, users
from service.versions.folder import VersionFolder
from service.versions.follow import first_version
from tests.conftest import made_once, settings, synthetic_wafer, tiny_distill_config
from tests.service.conftest import png
from tests.tool_side.conftest import wafer
from wafer_data.files import write_json

IMAGES, WAFERS = 60, 20
TYPES = {"spot": 0.4, "hole": -0.4}
RULES = '[[rule]]\nname = "sample"\nshare = 1.0\nthen = "audit"\n'


@dataclass
class Fab:
    """A service's data folder. ids: of the inspections, in order; defects: types by the index of the image."""

    data: Path
    frozen: Path
    ids: list[str] = field(default_factory=list)
    defects: dict[int, str] = field(default_factory=dict)

    @property
    def database(self) -> Database:
        return Database(sqlite_url(self.data / "waferroute.db"))

    @property
    def folder(self) -> VersionFolder:
        return VersionFolder(self.data / "models")

    def rows(self) -> list[dict]:
        with self.database.read() as connection:
            return [
                dict(row)
                for row in connection.execute(sa.select(inspections).order_by(inspections.c.seq)).mappings()
            ]

    def say(self, inspection: str, verdict: str, defect: str | None = None) -> None:
        say(self.database, inspection, verdict, defect)


def say(database: Database, inspection: str, verdict: str, defect: str | None = None, user: int = 1) -> None:
    """A person's verdict on an image, through the review's own queue."""
    who = Who(f"user:{user}", f"u{user}", ROLES["inspector"], user_id=user, role="inspector", csrf="x")
    with database.write() as connection:
        # before the second looks that were drawn
        kind, risk = ("audit", 1e9) if user == 1 else ("double", 1e12)
        open_task(connection, database, inspection, kind, risk, time.time())
    task = next(t for t in lease_next(database, who, 4) if t.row["id"] == inspection)
    give_verdict(database, who, task.seq, Said(verdict, defect))


def ship(service: Service) -> None:
    shipper = Shipper(service.journal, service.database, service.images)
    while shipper.ship():
        pass


def made_fab(
    factory: pytest.TempPathFactory,
    name: str,
    bundle: Path,
    image: Callable[[int, str | None], bytes],
    frozen: Path,
    types: Sequence[str] = tuple(TYPES),
) -> Fab:
    """A service that decided on images, every fifth of which shows a defect; people saw them all. Not to be changed."""
    defects = {i: types[i // 5 % 2] for i in range(4, IMAGES, 5)}
    root = made_once(factory, name, lambda folder: run_service(folder, bundle, image, defects))
    return Fab(root / "data", frozen, json.loads((root / "ids.json").read_text()), defects)


def run_service(
    root: Path, bundle: Path, image: Callable[[int, str | None], bytes], defects: dict[int, str]
) -> None:
    """Let a service with this bundle decide, and people say what they see."""
    fab = Fab(root / "data", root, defects=defects)
    fab.folder.push(bundle)
    fab.folder.promote("v1.0.0", by="eva", reason="first")
    rules = root / "rules.toml"
    rules.write_text(RULES)
    version, _ = first_version(fab.folder)
    service = open_service(Settings(data=fab.data, node="a", rules=rules), version)
    migrate(service.database)
    with service.database.write() as connection:
        key = make_key(connection, "tester", ["inspect", "read"])
        for number in (1, 2):
            person = {
                "id": number,
                "name": f"u{number}",
                "role": "inspector",
                "active": True,
                "created_at": 0.0,
            }
            connection.execute(sa.insert(users).values(**person))
    with TestClient(create_app(service), headers={"Authorization": f"Bearer {key}"}) as client:
        for i in range(IMAGES):
            where = f"wafer_id=W{i % WAFERS}&inspection_point={i}&lot=L{i % 5}&tool=T{i % 3}&layer=M1"
            answer = client.post(f"/api/v1/inspect?{where}", content=image(i, fab.defects.get(i)))
            assert answer.status_code == 200, answer.text
            fab.ids.append(answer.json()["id"])
        ship(service)
    for i, name in enumerate(fab.ids):
        fab.say(name, "defect" if i in fab.defects else "good", fab.defects.get(i))
    fab.database.close()
    (root / "ids.json").write_text(json.dumps(fab.ids))


@pytest.fixture(scope="session")
def frozen_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic images with known labels that nobody trains on."""

    def make(root: Path) -> None:
        for kind, first, count in (("good", 1000, 30), ("spot", 2000, 8), ("hole", 3000, 8)):
            (root / kind).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(wafer(first + i, TYPES.get(kind, 0.0))).save(root / kind / f"{i}.png")

    return made_once(tmp_path_factory, "frozen", make)


@pytest.fixture(scope="session")
def _fab(bundles: list[Path], frozen_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Fab:
    def image(index: int, kind: str | None) -> bytes:
        return png(7000 + index, TYPES.get(kind or "", 0.0))

    return made_fab(tmp_path_factory, "fab", bundles[0], image, frozen_set)


@pytest.fixture
def fab(_fab: Fab, tmp_path: Path) -> Fab:
    """A copy of the service's data, to be changed at will."""
    shutil.copytree(_fab.data, tmp_path / "data")
    return Fab(tmp_path / "data", _fab.frozen, list(_fab.ids), _fab.defects)


def settings_for(fab: Fab, work: Path, **more: dict) -> RetrainingConfig:
    """Settings that suit so few images."""
    content: dict = {
        "work": str(work),
        "service": {"data": str(fab.data)},
        "frozen": [str(fab.frozen)],
        "train": {"config": "quickstart"},
        "extract": {"lot_share": 1.0, "tool_share": 1.0},
        "checks": {"least_normal": 10, "gate_refused": 0.2},
        "gate": {"worse": 0.2, "false_alarm": 0.3, "p99_ms": 60_000.0},
    }
    for name, section in more.items():
        content[name] = {**content.get(name, {}), **section} if isinstance(section, dict) else section
    return RetrainingConfig.model_validate(content)


@pytest.fixture
def config(fab: Fab, tmp_path: Path) -> RetrainingConfig:
    return settings_for(fab, tmp_path / "work")


@pytest.fixture
def plan(config: RetrainingConfig) -> Plan:
    """A retraining that has begun."""
    return begin(config, "first", "manual", "a test")


def put_bundle(plan: Plan, bundle: Path) -> None:
    """What a training leaves behind: a bundle and a report."""
    folder = train.run_of(plan)
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    shutil.copytree(bundle, folder / "bundle")
    write_json(
        folder / "report" / "report.json",
        {"schema": 1, "data": {"name": "synthetic"}, "models": {}, "routing": {}},
    )


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, bundles: list[Path]) -> list[Path]:
    """A ready bundle takes the training's place: the last of this list."""
    ready = [bundles[1]]

    def run_stages(plan: Plan, *options: str) -> None:
        put_bundle(plan, ready[-1])

    monkeypatch.setattr(train, "run_stages", run_stages)
    monkeypatch.setattr(evaluate, "run_stages", run_stages)
    return ready


@pytest.fixture(scope="session")
def tiny_settings(tiny_teacher_config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of seconds on a tiny backbone with random weights."""
    content = {
        "run": {"dir": "unused"},
        "data": {"format": "mvtec", "root": "unused", "calibration_fraction": 0.4},
        "teacher": settings("teacher", tiny_teacher_config),
        "distill": settings("distill", tiny_distill_config()),
        "router": {"escalation_target": 0.2, "escalation_budget": [0.05, 0.5], "flag_rate": 0.1},
        "eval": {"latency_runs": 10, "bootstrap": 100, "worst": 2, "study_seconds": 1, "baselines": ["pca"]},
    }
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="session")
def trained_fab(tiny_run: Path, mvtec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Fab:
    """A service that decides with a model trained on synthetic images; not to be changed."""

    def image(index: int, kind: str | None) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(synthetic_wafer(np.random.default_rng([5, index]), kind)).save(buffer, "PNG")
        return buffer.getvalue()

    types = ("scratch", "particle")
    return made_fab(tmp_path_factory, "trained-fab", tiny_run / "bundle", image, mvtec_folder, types)


@pytest.fixture
def retraining_file(trained_fab: Fab, tiny_settings: Path, tmp_path: Path) -> Path:
    """Settings of a whole retraining on a copy of that service."""
    shutil.copytree(trained_fab.data, tmp_path / "data")
    content = {
        "work": str(tmp_path / "work"),
        "service": {"data": str(tmp_path / "data")},
        "frozen": [str(trained_fab.frozen)],
        "train": {"config": str(tiny_settings), "labels_per_type": 2},
        "extract": {"lot_share": 1.0, "tool_share": 1.0},
        "checks": {"least_normal": 10, "gate_refused": 0.3},
        # a backbone with random weights tells little: what is asked here is whether the steps hold together
        "gate": {"auroc": 0.0, "fnr_at_fpr5": 1.0, "escape": 1.0, "false_alarm": 1.0, "worse": 1.0, "p99_ms": 60_000.0,
                 "regressions": 10_000},
    }  # fmt: skip
    path = tmp_path / "retraining.yaml"
    path.write_text(yaml.safe_dump(content))
    return path

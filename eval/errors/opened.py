"""The parts of a finished run that an analysis reads."""

from dataclasses import dataclass
from pathlib import Path

from eval.errors.judge import Students, load_students
from eval.errors.operating_point import CalibrationScores
from router.config import RouterConfig
from router.policy import RoutingPolicy
from wafer_data.errors import InputError
from wafer_data.files import read_json
from wafer_data.store import ImageStore


@dataclass(frozen=True)
class Run:
    """What an analysis reads of a run."""

    folder: Path
    store: ImageStore
    students: Students
    policy: RoutingPolicy
    scores: CalibrationScores
    references: dict[str, float]


def open_run(folder: Path) -> Run:
    """Raises `InputError` when data, students or calibration are missing or damaged."""
    store = ImageStore.open(folder / "data")
    for name in ("policy.json", "calibration.json"):
        if not (folder / "router" / name).is_file():
            raise InputError(f"{folder / 'router'} holds no {name}: run `waferroute calibrate` first")
    calibration = read_json(folder / "router" / "calibration.json")
    references = calibration.get("map_reference") if isinstance(calibration, dict) else None
    if not isinstance(references, dict) or not {"lowres", "full"} <= set(references):
        raise InputError(
            f"{folder / 'router' / 'calibration.json'} is incomplete: run `waferroute calibrate`"
        )
    return Run(
        folder=folder,
        store=store,
        students=load_students(folder, store),
        policy=RoutingPolicy.from_dict(read_json(folder / "router" / "policy.json")),
        scores=CalibrationScores.from_json(calibration),
        references={name: float(value) for name, value in references.items()},
    )


def settings_of(folder: Path) -> RouterConfig:
    """The router's settings as the run's certificate states them, for a run without a configuration file.

    Raises `InputError` when the certificate is missing or damaged.
    """
    path = folder / "router" / "certificate.json"
    content = read_json(path)
    try:
        low, high = content["escalation"]["budget"]
        return RouterConfig(
            escalation_target=content["escalation"]["target"],
            escalation_budget=[low, high],
            flag_rate=content["flag"]["target"],
            reject_rate=min(RouterConfig().reject_rate, content["flag"]["target"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is incomplete ({error}): run `waferroute calibrate` again") from error

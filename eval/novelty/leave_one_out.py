"""One defect type is left out of the labels at a time: is it still found, and does labelling the others cost it?

Nothing is trained: the students' trunks stay, their likelihood and defect head are fitted again to the training
normals and to labelled defects of the other types. Thresholds are calibrated again on the calibration normals, and
test images are judged with them.
"""

from dataclasses import dataclass

import numpy as np

from eval.metrics import clopper_pearson, fnr_at_fpr, image_auroc
from eval.novelty.alarms import Stream
from eval.novelty.frozen import Chosen, FrozenStudents, scores
from router.calibrate import calibrate_policy
from router.config import RouterConfig
from router.monitor_reference import reference_of
from router.policy import RoutingPolicy
from router.route_scores import STUDENTS, RouteScores
from router.standardise import log_share


@dataclass(frozen=True)
class HeldOut:
    """How one type fares under one fit. Rates are those of the routed system at its calibrated thresholds.

    Attributes:
        labels: Labelled defects of other types.
        auroc, fnr_at_fpr5: Of the full student, this type against all normals.
        detection_rate: Share of the type's images that end as REVIEW or REJECT, with its exact 95 % interval.
    """

    type: str
    images: int
    labels: int
    auroc: float
    fnr_at_fpr5: float
    found: int
    detection_rate: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class FalseAlarms:
    """Flagged normals under one fit, with the exact 95 % interval of their rate."""

    images: int
    flagged: int
    rate: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class LeaveOneOut:
    """without: no labels at all.

    Attributes:
        labelled: With labels of the other types; None where there are no other types.
        labels_from: "training" where the run had labelled defects, else "test": then the labelled ones are
            drawn from the test images of the other types, and only the left-out type and the normals are
            judged.
    """

    without: list[HeldOut]
    labelled: list[HeldOut] | None
    false_alarms: FalseAlarms
    false_alarms_labelled: list[FalseAlarms] | None
    labels_from: str


@dataclass(frozen=True)
class Route:
    """What leaving out needs: both students' features, the run's policy, and the router's settings."""

    students: FrozenStudents
    chosen: Chosen
    policy: RoutingPolicy
    router: RouterConfig


@dataclass(frozen=True)
class Streams:
    """What the tool's monitor would see under each fit: without labels, and with those of all types but one."""

    without: Stream
    labelled: list[Stream]


def leave_one_out(route: Route, per_type: int, seed: int) -> tuple[LeaveOneOut, Streams]:
    """Judge every type without labels, and with up to `per_type` labels of each other type (at most half of it)."""
    chosen = route.chosen
    types = [str(name) for name in np.unique(chosen.types[chosen.truth == 1])]
    nothing = np.array([], dtype=np.int64)
    plain = _Fitted(route, nothing, nothing, seed)
    without = [plain.rate(name, 0) for name in types]
    trained = len(chosen.labelled) > 0
    if len(set(types) | set(map(str, chosen.labelled_types))) < 2:
        alone = LeaveOneOut(without, None, plain.false_alarms(), None, "training" if trained else "test")
        return alone, Streams(plain.stream, [])
    drawn = _drawn(chosen, types, per_type, seed)
    labelled, alarms, streams = [], [], []
    for name in types:
        if trained:
            own, other = nothing, np.flatnonzero(chosen.labelled_types != name)
        else:
            own, other = np.concatenate([rows for kind, rows in drawn.items() if kind != name]), nothing
        fitted = _Fitted(route, own, other, seed)
        labelled.append(fitted.rate(name, len(own) + len(other)))
        alarms.append(fitted.false_alarms())
        streams.append(fitted.stream)
    found = LeaveOneOut(without, labelled, plain.false_alarms(), alarms, "training" if trained else "test")
    return found, Streams(plain.stream, streams)


def _drawn(chosen: Chosen, types: list[str], per_type: int, seed: int) -> dict[str, np.ndarray]:
    """Places among the test images that play labelled ones, by type."""
    random = np.random.default_rng(seed)
    drawn = {}
    for name in types:
        rows = np.flatnonzero((chosen.types == name) & (chosen.truth == 1))
        drawn[name] = random.permutation(rows)[: min(per_type, len(rows) // 2)]
    return drawn


class _Fitted:
    """Both students fitted again, the thresholds calibrated again, all test images decided on."""

    def __init__(self, route: Route, tested: np.ndarray, trained: np.ndarray, seed: int) -> None:
        chosen = self._chosen = route.chosen
        students = route.students
        calibration, test = {}, {}
        for name in STUDENTS:
            likelihood = students.fit(name, tested, trained, seed)
            calibration[name] = scores(likelihood, students.calibration[name])[~students.refused_calibration]
            test[name] = scores(likelihood, students.test[name])
        # A blend of both scores keeps the weight that the run chose.
        router = route.router.model_copy(update={"full_weight": log_share(route.policy)})
        policy, certificate = calibrate_policy(
            calibration["lowres"],
            calibration["full"],
            route.policy.gate,
            router,
            gate_refused=int(students.refused_calibration.sum()),
        )
        found = RouteScores(**test, refused=students.refused_test)
        routed = found.under(policy)
        self._full, self.flagged = found.full, ~routed.passed
        self.stream = Stream(
            policy,
            reference_of(calibration["lowres"], policy, certificate),
            found,
            routed,
            np.flatnonzero(chosen.truth == 0),
            {
                str(name): np.flatnonzero((chosen.types == name) & (chosen.truth == 1))
                for name in np.unique(chosen.types[chosen.truth == 1])
            },
        )

    def rate(self, name: str, labels: int) -> HeldOut:
        """The type `name` against all normals."""
        chosen = self._chosen
        own = (chosen.types == name) & (chosen.truth == 1)
        rows = np.flatnonzero(own | (chosen.truth == 0))
        count, found = int(own.sum()), int(self.flagged[own].sum())
        both = bool((chosen.truth == 0).any())
        return HeldOut(
            type=name,
            images=count,
            labels=labels,
            auroc=image_auroc(chosen.truth[rows], self._full[rows]) if both else float("nan"),
            fnr_at_fpr5=fnr_at_fpr(chosen.truth[rows], self._full[rows]) if both else float("nan"),
            found=found,
            detection_rate=found / count,
            interval=clopper_pearson(found, count),
        )

    def false_alarms(self) -> FalseAlarms:
        """Over all normals of the test set."""
        normal = self._chosen.truth == 0
        count, flagged = int(normal.sum()), int(self.flagged[normal].sum())
        return FalseAlarms(count, flagged, flagged / count, clopper_pearson(flagged, count))

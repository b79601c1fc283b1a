"""Sums over sorted rows give what a loop over lots gives."""

import numpy as np

from lifecycle.drift.columns import Layout
from lifecycle.drift.frame import Frame
from lifecycle.drift.units import moments_of, units_of
from lifecycle.drift.wafer_summary import Stream, WaferSummary


def test_units_and_their_moments_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    rows, owner, code = rng.normal(size=(60, 3)), rng.integers(0, 3, 60), rng.integers(0, 7, 60)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    found = moments_of(units_of(rows, owner, code), 4)
    for one in range(3):
        for column in range(3):
            lots = [rows[(owner == one) & (code == c), column] for c in range(7)]
            lots = [lot[np.isfinite(lot)] for lot in lots if np.isfinite(lot).any()]
            means = np.array([lot.mean() for lot in lots])
            within = sum(((lot - lot.mean()) ** 2).sum() for lot in lots) / max(
                sum(len(lot) - 1 for lot in lots), 1
            )
            assert found.units[one, column] == len(lots)
            np.testing.assert_allclose(found.mean[one, column], means.mean())
            np.testing.assert_allclose(found.variance[one, column], means.var(ddof=1))
            np.testing.assert_allclose(found.size[one, column], np.mean([len(lot) for lot in lots]))
            np.testing.assert_allclose(found.within[one, column], within)
    assert np.isnan(found.mean[3]).all()
    assert found.units[3].tolist() == [0, 0, 0]


def test_a_wafer_without_latent_or_look_leaves_its_columns_empty():
    full = WaferSummary.of(
        "a", "l", np.ones(4), np.ones((3, 2)), [{"mean": 1.0, "std": 1.0, "sharpness": 1.0}]
    )
    bare = WaferSummary.of("b", None, np.empty(0), np.empty((0, 0)), images=5, unjudged=5)
    frame = Frame.of({Stream("T", "M", "r"): [(1.0, full), (2.0, bare)], Stream("U", "M", "r"): []})
    names = frame.layout.names
    assert names == Layout.of(2).names
    known = dict(zip(names, np.isfinite(frame.rows).T.tolist(), strict=True))
    assert known["score"] == known["z1"] == known["brightness"] == [True, False]
    assert known["share that cannot be judged"] == [True, True]
    assert known["gain"] == [False, False]
    assert frame.lot.tolist() == [0, -1]

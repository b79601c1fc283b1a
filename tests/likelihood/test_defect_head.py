"""The defect head: what it looks at, that it is a logistic regression, and that it can only raise a score."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from likelihood.defect_head import DefectHead, describe, fit_head

FIGURES, STRENGTH, FOLDS = 14, 0.03, 5
SPREAD = 0.3
"""Standard deviation of the made-up unlabelled scores."""


def descriptions(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Two channels' worth of correlated figures of unequal scale; `shift` moves three of them."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(42).normal(size=(FIGURES, FIGURES))
    rows = rng.normal(size=(count, FIGURES)) @ mixing * np.logspace(-2, 1, FIGURES) + 3.0
    rows[:, :3] += shift * np.logspace(-2, 1, FIGURES)[:3]
    return rows.astype(np.float32)


NORMAL = descriptions(120, seed=0)
SCORES = np.random.default_rng(1).normal(2.0, SPREAD, 120).astype(np.float32)
DEFECTS = descriptions(10, seed=2, shift=8.0)


def fit(defects: np.ndarray = DEFECTS, seed: int = 0, normal: np.ndarray = NORMAL) -> DefectHead:
    return fit_head(normal, SCORES[: len(normal)], defects, STRENGTH, FOLDS, seed)


def raw(head: DefectHead, rows: np.ndarray) -> np.ndarray:
    """What the head gives before it is cut off at zero."""
    return rows.astype(np.float64) @ head.weight.double().numpy() + head.bias.item()


class TestDescription:
    def test_is_seven_figures_a_direction(self):
        f, w = (torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
        found = describe(f, w).numpy().reshape(3, 7, 2)
        f, w = (x.double().numpy().reshape(3, 2, 16) for x in (f, w))
        expected = [
            f.mean(2),
            np.log(np.sqrt(f.var(2) + 1e-4)),
            f.max(2),
            f.min(2),
            w.mean(2),
            np.log((w**2).mean(2) + 1e-4),
            np.log(np.sqrt((w**2).max(2) + 1e-4)),
        ]
        np.testing.assert_allclose(found, np.stack(expected, 1), rtol=1e-4, atol=1e-5)

    def test_does_not_ask_where_on_the_image(self):
        f, w = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
        torch.testing.assert_close(describe(f.flip(2, 3), w.flip(2, 3)), describe(f, w))

    def test_of_a_constant_image_is_finite(self):
        flat = torch.full((1, 2, 4, 4), 1e3)
        assert torch.isfinite(describe(flat, torch.zeros_like(flat))).all()


class TestHead:
    @settings(max_examples=50, deadline=None)
    @given(seed=st.integers(0, 999), scale=st.floats(0, 1e3))
    def test_can_only_raise_a_score(self, seed, scale):
        rng = torch.Generator().manual_seed(seed)
        head = DefectHead(2)
        head.weight.copy_(scale * torch.randn(FIGURES, generator=rng))
        head.bias.copy_(scale * torch.randn((), generator=rng))
        added = head(torch.randn(16, FIGURES, generator=rng))
        assert added.shape == (16,) and (added >= 0).all()

    def test_that_has_learned_nothing_adds_nothing(self):
        assert (DefectHead(2)(torch.randn(4, FIGURES)) == 0).all()

    def test_counts_its_numbers(self):
        assert DefectHead(2).parameter_count == sum(b.numel() for b in DefectHead(2).buffers()) == 15


class TestRegression:
    def test_is_that_of_scikit_learn_but_for_unit_and_origin(self):
        rows = np.concatenate([NORMAL, DEFECTS]).astype(np.float64)
        labels = np.r_[np.zeros(120), np.ones(10)]
        model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=5000)
        decision = make_pipeline(StandardScaler(), model).fit(rows, labels).decision_function(rows)
        ours = raw(fit(), rows)
        unit, origin = np.polyfit(decision, ours, 1)
        assert unit > 0
        np.testing.assert_allclose(ours, unit * decision + origin, rtol=1e-3, atol=1e-3 * SPREAD)

    def test_is_zero_on_average_on_unseen_normals_in_the_spread_of_the_unlabelled_score(self):
        found = [raw(fit(seed=seed), descriptions(2000, seed=9)) for seed in range(3)]
        for fresh in found:
            assert fresh.mean() == pytest.approx(0.0, abs=0.3 * SPREAD)
            assert fresh.std() == pytest.approx(SPREAD, rel=0.2)

    def test_tells_fresh_defects_of_a_labelled_type(self):
        head = fit()
        normal, defects = (torch.from_numpy(descriptions(200, seed=7, shift=s)) for s in (0.0, 8.0))
        assert head(defects).quantile(0.05) > head(normal).quantile(0.95)

    def test_one_single_labelled_defect_works(self):
        head = fit(DEFECTS[:1])
        assert torch.isfinite(head.weight).all()
        assert raw(head, DEFECTS[:1])[0] > np.quantile(raw(head, NORMAL), 0.95)

    def test_fewer_normals_than_folds_work(self):
        assert np.isfinite(raw(fit(normal=NORMAL[:3]), NORMAL)).all()

    def test_a_figure_that_never_varies_is_left_alone(self):
        normal, defects = NORMAL.copy(), DEFECTS.copy()
        normal[:, 5] = defects[:, 5] = 2.0
        head = fit(defects, normal=normal)
        assert torch.isfinite(head.weight).all() and abs(head.weight[5]) < 1e-3 * head.weight.abs().max()

    def test_the_seed_decides_the_folds_only(self):
        one, same, other = fit(seed=0), fit(seed=0), fit(seed=1)
        assert torch.equal(one.weight, same.weight) and torch.equal(one.bias, same.bias)
        assert not torch.equal(one.bias, other.bias)
        direction = [h.weight / h.weight.norm() for h in (one, other)]
        torch.testing.assert_close(*direction, rtol=1e-4, atol=1e-5)

    def test_a_larger_strength_keeps_closer_to_the_labels(self):
        careful, close = (fit_head(NORMAL, SCORES, DEFECTS, c, FOLDS, 0) for c in (1e-3, 1.0))
        margins = [raw(h, DEFECTS).min() / raw(h, NORMAL).max() for h in (careful, close)]
        assert margins[0] < margins[1]

"""Samples, single figures, histograms, files and masks: each against what is known of the images."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eval.explore.container import measure_container
from eval.explore.differences import best_threshold, chance_strength, compare, measure_drift
from eval.explore.extent import MaskSums
from eval.explore.intensity import histograms, level_quantile
from eval.explore.sample import evenly, evenly_by_type, pick_by_type, share_out
from eval.explore.statistics import STATISTICS, image_statistics
from eval.explore.survey import MeanImage, count_levels
from eval.metrics import image_auroc
from wafer_data.errors import InputError


class TestSamples:
    @given(length=st.integers(1, 60), count=st.integers(1, 40))
    def test_evenly_spaced_images_reach_from_first_to_last(self, length, count):
        indices = np.arange(100, 100 + length)
        chosen = evenly(indices, count)
        assert len(chosen) == min(length, count) == len(set(chosen.tolist()))
        assert chosen[0] == 100 and (count == 1 or chosen[-1] == 99 + length)
        assert np.ptp(np.diff(chosen)) <= 1 if len(chosen) > 1 else True

    @given(
        available=st.dictionaries(st.text(max_size=2), st.integers(1, 30), min_size=1, max_size=6),
        total=st.integers(0, 80),
    )
    def test_shares_use_up_what_there_is(self, available, total):
        quotas = share_out(available, total)
        assert sum(quotas.values()) == min(total, sum(available.values()))
        assert all(quotas[name] <= available[name] for name in available)
        cut = [quotas[name] for name in available if quotas[name] < available[name]]
        assert not cut or min(cut) >= max(quotas.values()) - 1  # nobody gives while another takes more

    def test_rare_types_stay_in_a_sample(self):
        types = ["common"] * 95 + ["rare"] * 5
        chosen = evenly_by_type(np.arange(100), types, 20)
        assert [types[i] for i in chosen].count("rare") == 5 and len(chosen) == 20

    def test_pictures_are_spread_over_types_by_seed(self):
        types = ["a", "b", "c"] * 20
        first, again = (pick_by_type(np.arange(60), types, 16, np.random.default_rng(0)) for _ in range(2))
        assert first.tolist() == again.tolist() and len(set(first.tolist())) == 16
        counts = sorted([types[i] for i in first].count(name) for name in "abc")
        assert counts == [5, 5, 6]


class TestStatistics:
    def test_of_a_known_image(self):
        grey = np.full((64, 64), 0.25, np.float32)
        grey[:, 32:] = 0.75
        found = dict(zip(STATISTICS, image_statistics(grey), strict=True))
        assert found["mean"] == 0.5 and found["variance"] == pytest.approx(0.0625)
        assert (found["minimum"], found["p1"], found["p99"], found["maximum"]) == (0.25, 0.25, 0.75, 0.75)
        assert found["edge_energy"] == pytest.approx(0.5 * 0.25 / 63)
        assert found["local_contrast"] == 0  # the step lies between two windows

    def test_local_contrast_sees_a_small_spot_that_the_variance_hardly_does(self):
        rng = np.random.default_rng(0)
        plain = rng.normal(0.5, 0.02, (128, 128)).astype(np.float32)
        spotted = plain.copy()
        spotted[60:63, 60:63] = 0.9
        before, after = (dict(zip(STATISTICS, image_statistics(i), strict=True)) for i in (plain, spotted))
        assert after["local_contrast"] > 4 * before["local_contrast"]
        assert after["variance"] < 1.5 * before["variance"]

    def test_mean_and_deviation_images_are_those_of_numpy(self):
        images = np.random.default_rng(1).random((7, 8, 8))
        sums = MeanImage(8)
        for index, image in enumerate(images):
            sums.add(index, image)
        assert np.allclose(sums.mean, images.mean(axis=0))
        assert np.allclose(sums.deviation, images.std(axis=0, ddof=1))


class TestHistograms:
    @given(
        st.lists(st.integers(0, 255), min_size=1, max_size=50),
        st.lists(st.integers(0, 255), min_size=1, max_size=50),
    )
    def test_every_pixel_is_counted_once_whatever_the_range(self, first, second):
        counts = {name: np.bincount(values, minlength=256) for name, values in (("a", first), ("b", second))}
        found = histograms(counts | {"none": np.zeros(256, int)})
        edges = np.array(found.edges)
        assert set(found.shares) == {"a", "b"} and len(edges) <= 129
        for name, values in (("a", first), ("b", second)):
            expected = np.histogram(np.array(values) / 255, edges)[0] / len(values)
            assert np.allclose(found.shares[name], expected)

    def test_levels_are_counted_exactly(self):
        levels = np.random.default_rng(2).integers(0, 65536, (9, 9))
        counts = count_levels((levels / 65535).astype(np.float32), 65536)
        assert (counts == np.bincount(levels.ravel(), minlength=65536)).all()

    def test_quantiles_are_levels_that_occur(self):
        counts = np.bincount([3] * 10 + [9] * 90, minlength=256)
        assert [level_quantile(counts, share) for share in (0.001, 0.1, 0.11, 0.999)] == [3, 3, 9, 9]


class TestFiles:
    def write(self, folder: Path, arrays: list[np.ndarray], suffix: str = ".png") -> list[Path]:
        paths = []
        for place, array in enumerate(arrays):
            paths.append(folder / f"{place}{suffix}")
            Image.fromarray(array).save(paths[-1])
        return paths

    def test_twelve_bits_in_sixteen(self, tmp_path):
        rng = np.random.default_rng(0)
        arrays = [rng.integers(100, 4096, (20, 30)).astype(np.uint16) for _ in range(3)]
        arrays[0][0, 0] = 4095
        found = measure_container(self.write(tmp_path, arrays), 10**6, 16)
        assert (found.kind, found.bits_needed, found.idle_low_bits, found.highest) == ("16 bit", 12, 0, 4095)
        assert found.range_share == pytest.approx((4095 - found.lowest) / 65535)
        assert (found.width, found.height) == ((30, 30, 30), (20, 20, 20))

    def test_twelve_bits_shifted_to_the_left(self, tmp_path):
        array = (np.random.default_rng(1).integers(0, 4096, (40, 40)) << 4).astype(np.uint16)
        found = measure_container(self.write(tmp_path, [array]), 10**6, 16)
        assert found.idle_low_bits == 4

    def test_saturation(self, tmp_path):
        array = np.full((20, 20), 90, np.uint8)
        array[:2], array[2:7] = 0, 255
        found = measure_container(self.write(tmp_path, [array]), 10**6, 16)
        assert (found.black_share, found.white_share) == (0.1, 0.25)

    def test_floats_and_mixtures(self, tmp_path):
        (tmp_path / "f").mkdir()
        floats = [np.linspace(0.2, 0.6, 400, dtype=np.float32).reshape(20, 20)] * 2
        paths = self.write(tmp_path / "f", floats, ".tiff")
        paths += self.write(tmp_path, [np.arange(400).reshape(20, 20).astype(np.uint8)])
        found = measure_container(paths, 10**6, 16)
        assert found.kinds == {"float": 2, "8 bit": 1} and found.kind == "float"
        assert found.range_share == pytest.approx(0.4, abs=1e-4)

    def test_a_file_that_went_away(self, tmp_path):
        with pytest.raises(InputError, match=r"gone\.png: does not exist"):
            measure_container([tmp_path / "gone.png"], 10**6, 16)


class TestDifferences:
    @pytest.fixture
    def groups(self) -> tuple[np.ndarray, np.ndarray]:
        """Defects are darker in the mean (column 0) by two spreads, and alike in all else."""
        rng = np.random.default_rng(0)
        normals, defects = rng.normal(size=(80, 8)), rng.normal(size=(40, 8))
        defects[:, 0] -= 2
        return normals, defects

    def test_the_auroc_says_whether_defects_are_higher(self, groups):
        found = {line.name: line for line in compare(*groups, bootstrap=100, seed=0)}
        labels = np.repeat([0, 1], [80, 40])
        mean = found["mean"]
        assert mean.auroc == image_auroc(labels, np.r_[groups[0][:, 0], groups[1][:, 0]]) < 0.2
        assert mean.cliffs_delta == pytest.approx(2 * mean.auroc - 1)
        assert mean.auroc_interval[0] < mean.auroc < mean.auroc_interval[1] < 0.5
        assert mean.defect < mean.normal
        others = [line for name, line in found.items() if name != "mean"]
        assert sum(low < 0.5 < high for low, high in (line.auroc_interval for line in others)) >= 5

    def test_the_best_threshold_lies_on_the_right_side(self, groups):
        differences = compare(*groups, bootstrap=100, seed=0)
        best = best_threshold(differences, *groups, ["a"] * 30 + ["b"] * 10, bootstrap=100, seed=0)
        assert (best.name, best.side) == ("mean", "below")
        assert best.strength == pytest.approx(1 - differences[0].auroc)
        assert best.strength_interval[0] < best.strength < best.strength_interval[1]
        assert set(best.per_type) == {"a", "b"} and best.per_type["b"][2] == 10
        assert best.chance < best.strength and 0 <= best.missed_at_5 <= 1

    def test_chance_grows_with_fewer_images_and_is_rarely_exceeded_without_a_difference(self):
        rng = np.random.default_rng(1)
        few, many = (chance_strength(rng.normal(size=(n, 8)), rng.normal(size=(n, 8)), 0) for n in (10, 100))
        assert 0.5 < many < few < 1
        drifts = [measure_drift(rng.normal(size=(40, 8)), rng.normal(size=(40, 8)), k) for k in range(20)]
        assert sum(drift.differs for drift in drifts) <= 4

    def test_drift_names_what_differs(self):
        rng = np.random.default_rng(2)
        test = rng.normal(size=(40, 8))
        test[:, 3] += 1.5
        drift = measure_drift(rng.normal(size=(60, 8)), test, 0)
        assert drift.differs and drift.name == "p1" and drift.auroc > 0.7


class TestExtent:
    def test_areas_and_pieces_by_type(self):
        sums, grey = MaskSums(256), np.full((20, 20), 1.0, np.float32)
        small, split = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
        small[3:5, 3:5] = True
        split[:4, :5] = split[10:14, :5] = True
        for mask in (small, split, None, None):
            sums.add(grey, mask)
        found = sums.measure(["spot", "crack", "crack", "all"], 20)
        assert list(found.types) == ["all", "crack", "spot"]
        assert found.types["spot"].area_quartiles == (0.01, 0.01, 0.01)
        assert found.types["crack"].component_quartiles == (2, 2, 2)
        assert (found.types["crack"].defects, found.types["crack"].masks) == (2, 1)
        assert found.types["all"].area_quartiles is None
        assert found.together.masks == 2 and found.reach == "mixed"
        assert found.types["spot"].side_px == pytest.approx(2)
        assert sums.inside[255] == 44 and sums.inside.sum() == 44

    @pytest.mark.parametrize(("side", "reach"), [(3, "local"), (8, "mixed"), (15, "global")])
    def test_local_or_global(self, side, reach):
        sums, mask = MaskSums(256), np.zeros((20, 20), bool)
        mask[:side, :side] = True
        sums.add(np.zeros((20, 20), np.float32), mask)
        assert sums.measure(["x"], 20).reach == reach

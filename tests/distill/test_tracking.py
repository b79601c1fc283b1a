"""The CSV keeps each loss in a column of its own and survives interruptions."""

import csv

from distill.tracking import LossLog


def rows(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_losses_are_logged_apart(tmp_path):
    log = LossLog(tmp_path / "losses.csv")
    log.add("imitation", 0, distill=0.5, distill_normal=0.4, distill_synthetic=0.6)
    log.add("elbo", 0, bce=40000.25, kl=12.5, kl_weight=0.25)
    first, second = rows(tmp_path / "losses.csv")
    assert first["distill_synthetic"] == "0.6" and first["bce"] == ""
    assert second["kl"] == "12.5" and second["kl_weight"] == "0.25"


def test_a_resumed_run_replaces_the_epochs_it_does_again(tmp_path):
    log = LossLog(tmp_path / "losses.csv")
    for epoch in range(3):
        log.add("imitation", epoch, distill=1.0)
    log.add("elbo", 0, bce=9.0)
    again = LossLog(tmp_path / "losses.csv")
    again.add("imitation", 2, distill=2.0)
    found = [(r["phase"], r["epoch"], r["distill"]) for r in rows(tmp_path / "losses.csv")]
    assert found == [("imitation", "0", "1"), ("imitation", "1", "1"), ("imitation", "2", "2")]

"""The CSV keeps each loss in a column of its own and survives interruptions."""

import csv

from training.tracking import LossLog, WandbRun


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


def test_an_offline_wandb_run_stays_in_the_run_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    run = WandbRun("offline", "full", tmp_path, {"epochs": 2})
    run.log({"imitation/distill": 0.5, "epoch": 0})
    run.finish()
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))


def test_a_disabled_wandb_run_writes_nothing(tmp_path):
    run = WandbRun("disabled", "full", tmp_path, {})
    run.log({"imitation/distill": 0.5})
    run.finish()
    assert list(tmp_path.iterdir()) == []


def test_the_environment_has_the_last_word_on_the_mode(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert WandbRun("online", "full", tmp_path, {}).run is None

"""`--ray ADDRESS` of the stages whose work a cluster can do; no part of the configuration."""

import pytest

from wafer_data.shards.on_ray import cluster
from waferroute.cli import main


@pytest.mark.parametrize("command", ["data", "adapt", "distill", "evaluate", "run"])
def test_the_work_of_a_stage_is_done_on_the_cluster_named(command, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr("waferroute.run_stages.run_stages", lambda *_, **__: seen.append(cluster()) or 0)
    assert main([command, "quickstart", f"run.dir={tmp_path}", "--ray", "ray://head:10001"]) == 0
    assert main([command, "quickstart", f"run.dir={tmp_path}"]) == 0
    assert seen == ["ray://head:10001", None]
    assert cluster() is None


@pytest.mark.parametrize("command", ["calibrate", "export"])
def test_stages_that_no_cluster_helps_do_not_take_it(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "quickstart", "--ray", "local"])
    assert "--ray" in capsys.readouterr().err

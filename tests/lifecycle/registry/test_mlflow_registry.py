"""MLflow shows what the folder of versions says, and nothing waits for it."""

from pathlib import Path

import pytest

pytest.importorskip("mlflow", reason="MLflow is not installed: the mirror of the registry is not tested")

from lifecycle.registry.mlflow_registry import MODEL, embedded_uri, fetch, mirror
from service.versions.folder import VersionFolder
from wafer_data.errors import InputError


@pytest.fixture(scope="module")
def folder(bundles: list[Path], tmp_path_factory: pytest.TempPathFactory) -> VersionFolder:
    folder = VersionFolder(tmp_path_factory.mktemp("registry") / "models")
    first = folder.push(
        bundles[0], about={"git_commit": "abc", "report": {"models": {"full": {"image_auroc": 0.99}}}}
    )
    second = folder.push(bundles[1], gate={"passed": True})
    folder.promote(first.name, by="eva", reason="first")
    folder.start_canary(second.name, 0.1, "r1", by="eva", reason="try")
    return folder


def test_aliases_follow_the_pointer_through_a_promotion(folder: VersionFolder):
    from mlflow import MlflowClient

    assert mirror(folder) == {"champion": "vae-wafer-v1.0.0", "challenger": "vae-wafer-v1.1.0"}
    folder.promote("v1.1.0", by="eva", reason="better")
    assert mirror(folder) == {"champion": "vae-wafer-v1.1.0", "previous": "vae-wafer-v1.0.0"}
    client = MlflowClient(embedded_uri(folder))
    champion = client.get_model_version_by_alias(MODEL, "champion")
    assert champion.tags["version"] == "vae-wafer-v1.1.0"
    assert champion.tags["gate"] == "passed"
    assert "challenger" not in client.get_registered_model(MODEL).aliases
    previous = client.get_model_version_by_alias(MODEL, "previous")
    assert previous.tags["git_commit"] == "abc"
    assert client.get_run(previous.run_id).data.metrics == {"models.full.image_auroc": 0.99}


def test_mirroring_again_registers_nothing_twice(folder: VersionFolder):
    from mlflow import MlflowClient

    mirror(folder)
    versions = MlflowClient(embedded_uri(folder)).search_model_versions(f"name = '{MODEL}'")
    assert sorted(v.tags["version"] for v in versions) == ["vae-wafer-v1.0.0", "vae-wafer-v1.1.0"]


def test_a_bundle_comes_back_byte_for_byte(folder: VersionFolder, tmp_path: Path):
    mirror(folder)
    back = fetch("vae-wafer-v1.1.0", tmp_path, embedded_uri(folder))
    original = folder.bundle("vae-wafer-v1.1.0")
    assert {p.name: p.read_bytes() for p in back.iterdir()} == {
        p.name: p.read_bytes() for p in original.iterdir()
    }


def test_an_unknown_version_is_named(folder: VersionFolder, tmp_path: Path):
    mirror(folder)
    with pytest.raises(InputError, match=r"no version vae-wafer-v9\.0\.0"):
        fetch("vae-wafer-v9.0.0", tmp_path, embedded_uri(folder))


def test_a_registry_that_cannot_be_opened_says_so(folder: VersionFolder, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be used"):
        mirror(folder, f"sqlite:///{tmp_path}/file/db")

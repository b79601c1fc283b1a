"""The folder of versions in MLflow's model registry: one registered model, aliases instead of stages.

Nothing on the line waits for MLflow: promoting and rolling back change the folder's pointer, and the registry is
brought to what the folder says afterwards, as often as one likes. Embedded by default, an SQLite file and a folder
beside the versions; a server where `uri` names one. An alias may hold no dot, so the three-part name is a tag.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.versions.folder import Registered, VersionFolder
from wafer_data.errors import InputError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

MODEL = "vae-wafer"
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
DATABASE, ARTIFACTS = "mlflow.db", "mlflow-artifacts"


def embedded_uri(folder: VersionFolder) -> str:
    """The registry beside the versions."""
    return f"sqlite:///{(folder.path / DATABASE).resolve()}"


def mirror(folder: VersionFolder, uri: str | None = None) -> dict[str, str]:
    """Bring MLflow's registry to what the folder says.

    Args:
        folder: The versions; they are not changed.
        uri: Of an MLflow tracking server or database; None: embedded.

    Returns:
        The aliases set, by name: the version's name.

    Raises:
        InputError: MLflow is not installed, or the registry cannot be reached or written.
    """
    with _client(uri or embedded_uri(folder)) as client:
        known = _known(client)
        for version in folder.versions():
            if version.name not in known:
                known[version.name] = _register(client, folder, version)
            _tag(client, known[version.name], version)
        return _set_aliases(client, folder, known)


@contextmanager
def _client(uri: str) -> Iterator[MlflowClient]:
    # no line of this product ever calls out of the building
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    # a registry that is away is a warning, for which nobody waits minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise InputError('MLflow is not installed: pip install "waferroute[mlflow]"') from error
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    try:
        yield mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    except (MlflowException, OSError) as error:
        raise InputError(f"MLflow at {uri} cannot be used: {error}") from error


def _known(client: MlflowClient) -> dict[str, ModelVersion]:
    """Registered versions by their three-part name."""
    if not client.search_registered_models(f"name = '{MODEL}'"):
        client.create_registered_model(MODEL, description="Wafer inspection bundles of waferroute")
    found: dict[str, ModelVersion] = {}
    token = None
    while True:
        page = client.search_model_versions(f"name = '{MODEL}'", page_token=token)
        # a version without the tag is one whose registration was interrupted: it is registered anew
        found.update({one.tags["version"]: one for one in page if "version" in one.tags})
        token = page.token
        if not token:
            return found


def _register(client: MlflowClient, folder: VersionFolder, version: Registered) -> ModelVersion:
    experiment = client.get_experiment_by_name(MODEL)
    embedded = (folder.path / ARTIFACTS).resolve().as_uri() if _is_embedded(client) else None
    number = experiment.experiment_id if experiment else client.create_experiment(MODEL, embedded)
    run = client.create_run(number, run_name=version.name)
    client.log_artifacts(run.info.run_id, str(folder.bundle(version.name)), "bundle")
    report = folder.path / version.name / "report"
    if report.is_dir():
        client.log_artifacts(run.info.run_id, str(report), "report")
    for name, value in _figures(version.about.get("report", {})):
        client.log_metric(run.info.run_id, name, value)
    client.set_terminated(run.info.run_id)
    source = f"{run.info.artifact_uri}/bundle"
    return client.create_model_version(MODEL, source, run.info.run_id, tags={"version": version.name})


def _is_embedded(client: MlflowClient) -> bool:
    return str(client.tracking_uri).startswith("sqlite:")


def _figures(report: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers of report.json, flat, under names that MLflow takes."""
    if isinstance(report, dict):
        for key, value in report.items():
            yield from _figures(value, f"{prefix}{key}.")
    elif isinstance(report, int | float) and not isinstance(report, bool):
        yield prefix.rstrip("."), float(report)


def _tag(client: MlflowClient, registered: ModelVersion, version: Registered) -> None:
    gate = "none" if version.gate is None else "passed" if version.gate.get("passed") else "failed"
    tags = {"bundle_id": version.bundle, "state": version.state, "parent": version.parent or "", "gate": gate}
    tags |= {
        key: str(version.about[key])
        for key in ("git_commit", "data_fingerprint", "signed_by")
        if key in version.about
    }
    for key, value in tags.items():
        if registered.tags.get(key) != value:
            client.set_model_version_tag(MODEL, registered.version, key, value)


def _set_aliases(
    client: MlflowClient, folder: VersionFolder, known: dict[str, ModelVersion]
) -> dict[str, str]:
    pointer = folder.pointer()
    wanted = {
        CHAMPION: pointer.champion if pointer else None,
        PREVIOUS: pointer.previous if pointer else None,
        CHALLENGER: pointer.canary.version if pointer and pointer.canary else None,
    }
    current = client.get_registered_model(MODEL).aliases
    for alias, name in wanted.items():
        if name is not None:
            client.set_registered_model_alias(MODEL, alias, known[name].version)
        elif alias in current:
            client.delete_registered_model_alias(MODEL, alias)
    return {alias: name for alias, name in wanted.items() if name is not None}


def fetch(name: str, destination: str | Path, uri: str) -> Path:
    """Download a version's bundle from an MLflow registry; the caller verifies it, as `VersionFolder.push` does.

    Raises:
        InputError: There is no such version, or the registry cannot be reached.
    """
    with _client(uri) as client:
        known = _known(client)
        if name not in known:
            raise InputError(
                f"MLflow at {uri} has no version {name}; it has {', '.join(sorted(known)) or 'none'}"
            )
        run = str(known[name].run_id)
        return Path(client.download_artifacts(run, "bundle", str(destination)))

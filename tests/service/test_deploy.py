"""What is shipped in `deploy/` names what there is: commands, endpoints, files. Real tools check it where they are."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.routing import Route

from service.app import ROUTE_MODULES, _routes
from waferroute.cli.start import build_parser

ROOT = Path(__file__).parents[2]
SYSTEMD, KUBERNETES = ROOT / "deploy" / "systemd", ROOT / "deploy" / "kubernetes"
CONTAINERFILE = ROOT / "deploy" / "container" / "Containerfile"
PROGRAM = "/opt/waferroute/bin/waferroute"


def endpoints() -> set[str]:
    from importlib import import_module

    routes = [route for name in ROUTE_MODULES for route in _routes(import_module(name))]
    return {route.path for route in routes if isinstance(route, Route)}


def accepted(words: list[str]) -> Any:
    """What the command line makes of a command; fails if it refuses it."""
    try:
        return build_parser().parse_args(words)
    except SystemExit:
        pytest.fail(f"waferroute refuses: {shlex.join(words)}")


# --- HAProxy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [None, "haproxy"])
def test_haproxy_accepts_its_configuration(user: str | None, tmp_path: Path) -> None:
    program = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("HAProxy is not installed (Debian: apt-get install haproxy)")
    environment = {
        "WAFERROUTE_CONTROL": str(tmp_path / "control"),
        **({"WAFERROUTE_USER": user} if user else {}),
    }
    ended = subprocess.run(
        [program, "-c", "-f", str(ROOT / "deploy" / "haproxy" / "waferroute.cfg")],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    said = ended.stdout + ended.stderr
    if user and "cannot find user" in said:
        pytest.skip("there is no user haproxy here")
    assert ended.returncode == 0 and "WARNING" not in said, said


def test_haproxys_checks_ask_for_what_there_is() -> None:
    text = (ROOT / "deploy" / "haproxy" / "waferroute.cfg").read_text()
    (asked,) = re.findall(r"http-check send meth GET uri (\S+)", text)
    assert asked == "/readyz" and asked in endpoints()
    assert {"/api/v1/inspect", "/api/v1/lots", "/metrics"} <= endpoints()
    (drain,) = re.findall(r"--drain (\d+)", text)
    seen_after = 0.5 + 2 * 0.1  # one interval, then twice the fast one
    assert float(drain) > 2 * seen_after, "a worker drains for longer than the balancer takes to see it"


# --- systemd --------------------------------------------------------------------------------------------------


def unit(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield name, value


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with this machine's program in the place of the installed one."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: units are not verified")
    for path in SYSTEMD.glob("*.*"):
        if path.suffix != ".env":
            name = path.name.replace("@.", "@8081.")
            (tmp_path / name).write_text(path.read_text().replace(PROGRAM, "/bin/true"))
    return tmp_path


def test_systemd_accepts_the_units(units: Path) -> None:
    names = sorted(f"./{path.name}" for path in units.iterdir())
    assert len(names) == 6
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names],
        cwd=units,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0 and ended.stdout + ended.stderr == "", ended.stdout + ended.stderr


def test_a_worker_may_do_little_on_its_machine(units: Path) -> None:
    ended = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", "./waferroute@8081.service"],
        cwd=units, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if "unrecognized option" in ended.stderr:
        pytest.skip("this systemd-analyze judges no files")
    assert ended.returncode == 0, "its exposure is above 2.0 of 10:\n" + ended.stdout[-2000:]


def test_the_units_run_commands_that_there_are() -> None:
    environment = dict(unit(SYSTEMD / "waferroute.env"))
    found = []
    for path in SYSTEMD.glob("*.service"):
        for name, value in unit(path):
            if name == "ExecStart":
                for key in ("WAFERROUTE_DATABASE", "WAFERROUTE_OPTIONS"):
                    value = value.replace(f"${key}", environment.get(key, ""))
                value = value.replace("${WAFERROUTE_BUNDLE}", environment["WAFERROUTE_BUNDLE"]).replace(
                    "%i", "8081"
                )
                words = shlex.split(value)
                if words[0] == "/bin/sh":
                    words = shlex.split(
                        words[2].removeprefix("exec ").replace("$(date -u +%%Y-%%m-%%dT%%H%%M%%SZ)", "now")
                    )
                assert words[0] == PROGRAM
                found.append(accepted(words[1:]))
    assert len(found) == 4
    drains = [args.drain for args in found if hasattr(args, "drain")]
    stop = next(int(v) for n, v in unit(SYSTEMD / "waferroute@.service") if n == "TimeoutStopSec")
    assert drains == [3.0] and stop > 3 + 20, "it is not killed while it drains"


# --- the container --------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", "\n".join(
        line for line in CONTAINERFILE.read_text().splitlines() if not line.startswith("#")
    ))  # fmt: skip
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]  # type: ignore[misc]


def test_the_container_holds_all_packages_and_nothing_that_is_not_there() -> None:
    known = {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK",
             "ENTRYPOINT", "CMD"}  # fmt: skip
    found = instructions()
    assert {name for name, _ in found} <= known
    copied = {
        word
        for name, value in found
        if name == "COPY" and not value.startswith("--from")
        for word in value.split()[:-1]
    }
    assert all((ROOT / name).exists() for name in copied), copied
    packages = {path.parent.name for path in ROOT.glob("*/py.typed")}
    assert packages <= copied, packages - copied
    assert {"pyproject.toml", "setup.py", "constraints.txt", "configs"} <= copied


def test_the_container_serves_as_nobody_special_and_says_when_it_is_ready() -> None:
    found = instructions()
    last = {name: value for name, value in found if name not in ("COPY", "RUN")}
    assert last["USER"] == "10001:10001" and last["STOPSIGNAL"] == "SIGTERM" and last["VOLUME"] == "/data"
    assert last["FROM"] == "${BASE}"
    (base,) = re.findall(r"^BASE=(\S+)$", next(value for name, value in found if name == "ARG"))
    assert re.fullmatch(r"python:3\.1[1-9]\S+", base) and "latest" not in base
    entry, more = json.loads(last["ENTRYPOINT"]), json.loads(last["CMD"])
    assert entry[0] == "waferroute"
    args = accepted([*entry[1:], *more])
    assert args.host == "0.0.0.0" and str(args.port) == last["EXPOSE"] and args.data == Path(last["VOLUME"])
    check = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", last["HEALTHCHECK"])
    assert check is not None and check[1] == last["EXPOSE"] and check[2] in endpoints()
    compile(json.loads(last["HEALTHCHECK"].split("CMD", 1)[1])[2], "HEALTHCHECK", "exec")


# --- Kubernetes -----------------------------------------------------------------------------------------------


def manifests() -> list[dict[str, Any]]:
    return [one for path in KUBERNETES.glob("*.yaml") for one in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str) -> dict[str, Any]:
    return next(one for one in manifests() if one["kind"] == kind)


def test_kubernetes_knows_every_field() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for manifest in manifests():
        validate.validate(manifest, "1.31", strict=True)
    wrong = of_kind("StatefulSet")
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(validate.ValidationError):
        validate.validate(wrong, "1.31", strict=True)


def test_kubernetes_asks_endpoints_that_there_are_and_runs_a_command_that_there_is() -> None:
    spec = of_kind("StatefulSet")["spec"]["template"]["spec"]
    (worker,) = spec["containers"]
    paths = {name: worker[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    assert set(paths.values()) <= endpoints(), "a worker that is not ready must not be killed for it"
    (port,) = worker["ports"]
    assert all(worker[f"{name}Probe"]["httpGet"]["port"] == port["name"] for name in paths)
    words = [text.replace("$(POD_NAME)", "waferroute-0").replace("$(DATABASE)", "postgresql://u@h/n")
             for text in worker["args"]]  # fmt: skip
    args = accepted(["serve", *words])
    assert args.port == port["containerPort"] and args.node == "waferroute-0" and args.host == "0.0.0.0"
    assert spec["terminationGracePeriodSeconds"] > args.drain + 20
    probe = worker["readinessProbe"]
    assert args.drain > probe["periodSeconds"] * probe["failureThreshold"]
    assert set(re.findall(r"\$\((\w+)\)", " ".join(worker["args"]))) == {one["name"] for one in worker["env"]}


def test_kubernetes_keeps_each_journal_on_its_own_disk_and_the_rest_together() -> None:
    service = of_kind("StatefulSet")
    pod = service["spec"]["template"]
    (worker,) = pod["spec"]["containers"]
    mounted = {one["mountPath"]: one["name"] for one in worker["volumeMounts"]}
    own = {one["metadata"]["name"]: one["spec"] for one in service["spec"]["volumeClaimTemplates"]}
    assert own[mounted["/data/journals"]]["accessModes"] == ["ReadWriteOnce"]
    assert of_kind("PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteMany"]
    assert mounted["/data"] == "shared" and set(mounted.values()) - set(own) == {"shared", "temporary"}
    assert service["spec"]["replicas"] >= 2
    for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
        found = of_kind(kind)["spec"]
        selector = found.get("selector") or found["podSelector"]
        assert selector.get("matchLabels", selector).items() <= pod["metadata"]["labels"].items(), kind

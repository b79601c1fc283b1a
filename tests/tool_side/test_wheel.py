"""What `pip install` brings: the wheel holds everything, and runs in an environment of its own."""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import settings, tiny_distill_config

ROOT = Path(__file__).parents[2]
SITE = {Path(path).resolve() for path in sys.path if path.endswith("site-packages")}
TOOL = ("numpy", "numpy.libs", "onnxruntime", "PIL", "pillow.libs")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the tree, so that the build leaves nothing behind in the tree itself."""
    source, out = tmp_path_factory.mktemp("source") / "waferroute", tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode == 0:
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/", "benchmarks/")):
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, source / name)
    else:  # the tree of a source archive
        shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "tests", "runs", "build"))
    command = [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "--wheel-dir", str(out)]
    built = subprocess.run([*command, "--no-build-isolation", "-q"], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(out.glob("waferroute-*.whl"))


def environment(folder: Path, wheel: Path, *, bare: bool) -> Path:
    """A new virtual environment with the wheel installed; returns its interpreter.

    Dependencies are not downloaded again: a bare one sees numpy, onnxruntime and Pillow of this environment and
    nothing else, the other one sees all of this environment.
    """
    venv.EnvBuilder(symlinks=os.name != "nt").create(folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    asked = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
    )
    site = Path(asked.stdout.strip())
    if bare:
        for name in TOOL:
            for found in [place / name for place in SITE if (place / name).is_dir()][:1]:
                (site / name).symlink_to(found)
    else:
        (site / "dependencies.pth").write_text("".join(f"{place}\n" for place in SITE))
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        "-q",
    ]
    done = subprocess.run([*install, "--force-reinstall", str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return python


def run(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`waferroute` as that environment has it, far from the tree."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [str(python), "-m", "waferroute", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, env=clean)


def test_the_wheel_holds_pages_configurations_and_type_marks(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"waferroute/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")} <= names
    packages = {
        name.partition("/")[0] for name in names if name.endswith("/__init__.py") and name.count("/") == 1
    }
    assert {f"{package}/py.typed" for package in packages} <= names
    for folder in packages:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".html", ".css", ".js", ".svg", ".mako", ".py"):
                assert path.relative_to(ROOT).as_posix() in names, path


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A computer inside an inspection tool."""
    return environment(tmp_path_factory.mktemp("bare") / "env", wheel, bare=True)


def test_the_bare_tool_inspects(bare: Path, bundle: Path, wafer, tmp_path: Path):
    for seed in range(3):
        Image.fromarray(wafer(seed)).save(tmp_path / f"{seed}.png")
    done = run(bare, "inspect", str(bundle), str(tmp_path), "--json", cwd=tmp_path)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 3, done.stderr
    assert {json.loads(line)["decision"] for line in done.stdout.splitlines()} <= {"PASS", "REVIEW", "REJECT"}
    done = run(bare, "verify", str(bundle), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_bare_tool_says_what_training_needs(bare: Path, tmp_path: Path):
    done = run(bare, "run", "quickstart", cwd=tmp_path)
    assert done.returncode == 2 and 'pip install "waferroute[train]"' in done.stderr


def test_an_installation_trains_by_the_name_of_a_ready_made_configuration(
    wheel: Path, mvtec_folder: Path, tiny_teacher_config, tmp_path: Path
):
    python = environment(tmp_path / "env", wheel, bare=False)
    work = tmp_path / "work"
    work.mkdir()
    shown = run(python, "config", "show", "quickstart", cwd=work)
    assert shown.returncode == 0 and "format: elpv" in shown.stdout, shown.stderr
    overrides = [f"data.root={mvtec_folder}", "run.dir=out", "data.calibration_fraction=0.4"]
    for section, model in (("teacher", tiny_teacher_config), ("distill", tiny_distill_config())):
        for key, value in settings(section, model).items():
            if key != "seed":
                overrides.append(f"{section}.{key}={json.dumps(value)}")
    overrides += [f"distill.{stage}.epochs=1" for stage in ("intermediate", "target", "full", "lowres")]
    overrides += [f"distill.{stage}.elbo_epochs=0" for stage in ("full", "lowres")]
    overrides += [
        "router.escalation_target=0.2",
        "router.escalation_budget=[0.05,0.5]",
        "router.flag_rate=0.1",
    ]
    overrides += ["eval.baselines=[]", "eval.latency_runs=10", "eval.bootstrap=100", "eval.study_seconds=0"]
    done = run(python, "run", "mvtec", *overrides, "--json", cwd=work)
    assert done.returncode == 0, done.stderr
    assert {stage["status"] for stage in json.loads(done.stdout)["stages"]} == {"done"}
    assert (work / "out" / "report" / "report.html").is_file()
    where = "import waferroute, eval.report; print(waferroute.__file__, eval.report.__file__)"
    place = subprocess.run([python, "-I", "-c", where], cwd=work, capture_output=True, text=True).stdout
    assert place.count(str(tmp_path / "env")) == 2

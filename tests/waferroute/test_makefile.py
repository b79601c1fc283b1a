"""`make demo` and `make test`: what they would do, without installing anything."""

import os
import re
import shutil
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks/triton-requirements.txt", tmp_path / "benchmarks")
    return tmp_path


def make(folder: Path, *arguments: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path, "HOME": str(folder)}
    return subprocess.run(
        ["/usr/bin/env", "make", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def pretend_installed(folder: Path, *stamps: str) -> None:
    (folder / ".venv/bin").mkdir(parents=True, exist_ok=True)
    (folder / ".venv/bin/pip").touch()
    for stamp in stamps:
        (folder / ".venv" / stamp).touch()


def pretend_served(folder: Path) -> None:
    (folder / ".venv-triton").mkdir()
    (folder / ".venv-triton/.installed").touch()


def test_a_first_demo_makes_the_environment_installs_and_runs(checkout: Path):
    said = make(checkout, "-n", "demo").stdout
    assert "-m venv .venv" in said
    assert 'install -e ".[train,demo]" -c constraints.txt' in said
    assert said.strip().endswith("waferroute run configs/quickstart.yaml")


def test_nothing_is_installed_when_nothing_changed(checkout: Path):
    pretend_installed(checkout, ".installed-demo", ".installed-dev")
    pretend_served(checkout)
    for target in ("demo", "test"):
        assert "install" not in make(checkout, "-n", target).stdout


def test_an_interrupted_installation_is_done_again(checkout: Path):
    pretend_installed(checkout)
    said = make(checkout, "-n", "demo").stdout
    assert "pip" in said and "-m venv" not in said


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed(checkout: Path, name: str):
    pretend_installed(checkout, ".installed-demo", ".installed-dev")
    later = (checkout / ".venv/.installed-dev").stat().st_mtime + 10
    os.utime(checkout / name, (later, later))
    assert "install -e" in make(checkout, "-n", "demo").stdout


def test_what_the_tests_install_serves_the_demo(checkout: Path):
    said = make(checkout, "-n", "test").stdout
    assert re.search(r'install -e "\.\[train,demo,serve,[a-z,]*dev\]"', said)
    assert re.search(r"touch .*installed-demo .*installed-dev", said)


def test_serve_takes_the_bundle_of_the_demo_or_makes_a_small_synthetic_one(checkout: Path):
    said = make(checkout, "-n", "serve").stdout
    assert "bundle=runs/quickstart/bundle" in said and "SYNTHETIC" in said
    assert said.strip().endswith("waferroute serve $bundle --data runs/service")


def test_the_tests_lint_check_format_check_types_and_run(checkout: Path):
    pretend_installed(checkout, ".installed-demo", ".installed-dev")
    pretend_served(checkout)
    said = make(checkout, "-n", "test").stdout.splitlines()
    tools = [line.removeprefix(".venv/bin/") for line in said if line.startswith(".venv/bin/")]
    assert tools[:3] == ["ruff check .", "ruff format --check .", "mypy"]
    assert len(tools) == 4 and tools[3].startswith("python -m pytest -n 2 ")
    alone = make(checkout, "-n", "test", "WORKERS=0").stdout
    assert "python -m pytest -n 0 " in alone


def test_check_is_the_quick_part_of_the_tests(checkout: Path):
    pretend_installed(checkout, ".installed-demo", ".installed-dev")
    said = [
        line for line in make(checkout, "-n", "check").stdout.splitlines() if line.startswith(".venv/bin/")
    ]
    assert [line.split()[0].removeprefix(".venv/bin/") for line in said] == [
        "ruff", "ruff", "lint-imports", "mypy", "python"
    ]  # fmt: skip
    paths = said[-1].split("--no-loadscope-reorder ")[1].split()
    assert paths and [p for p in paths if not (ROOT / p.removeprefix("--ignore=")).exists()] == []


def test_docs_are_built_so_that_a_broken_link_fails(checkout: Path):
    pretend_installed(checkout, ".installed-demo", ".installed-dev")
    assert "mkdocs build --strict" in make(checkout, "-n", "docs").stdout


def test_the_tests_set_up_a_triton_server(checkout: Path):
    pretend_installed(checkout, ".installed-demo", ".installed-dev")
    assert "install -r benchmarks/triton-requirements.txt" in make(checkout, "-n", "test").stdout


def test_an_old_python_is_refused_with_what_to_do(checkout: Path, tmp_path: Path):
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    ended = make(checkout, "demo", f"PYTHON={old}")
    assert ended.returncode != 0
    assert "error: Python 3.11 or newer is needed" in ended.stderr
    assert not (checkout / ".venv").exists()


def test_constraints_pin_every_direct_requirement():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    names = {re.split(r"[<>=!~\[ ;]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    assert names <= set(pins)
    assert not [name for name in pins if name.startswith("nvidia")]


def test_ci_runs_the_same_tests():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("exec make test")

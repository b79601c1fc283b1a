"""Child processes and the command line use our packages, whatever lies in the present folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wafer_data import own_code
from wafer_data.own_code import ROOT, child_command, child_environment, code_digest


@pytest.fixture
def shadows(tmp_path: Path) -> Path:
    """A user's folder with a package `eval` and a module `router.py` of their own."""
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "__init__.py").write_text("raise SystemExit('the user's eval was imported')")
    (tmp_path / "router.py").write_text("raise SystemExit('the user's router was imported')")
    return tmp_path


def test_a_child_process_imports_ours_in_a_folder_with_others_of_that_name(shadows: Path) -> None:
    ended = subprocess.run(
        child_command("eval.tradeoff.worker"),
        cwd=shadows,
        env=child_environment(),
        input=json.dumps({}),
        capture_output=True,
        text=True,
    )
    assert "was imported" not in ended.stderr and "KeyError" in ended.stderr  # it is ours that lacks its job
    plain = subprocess.run(
        [sys.executable, "-c", "import eval"],
        cwd=shadows,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONSAFEPATH": ""},
    )
    assert "the user's eval was imported" in plain.stderr  # a control: the folder does shadow


@pytest.mark.parametrize(("name", "what"), [("eval", "eval"), ("router.py", "router")])
def test_the_command_names_the_foreign_module_and_what_to_do(shadows: Path, name: str, what: str) -> None:
    for other in {"eval", "router.py"} - {name}:
        (shadows / other).rename(shadows / f"other_{other}")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(shadows), str(ROOT)])}
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "waferroute", "config", "fields"],
        cwd=shadows,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert str(shadows / name) in ended.stderr and f"own package {what}," in ended.stderr
    assert "PYTHONSAFEPATH=1" in ended.stderr


def test_no_child_process_of_the_product_is_started_otherwise() -> None:
    files = [path for package in own_code.PACKAGES for path in (ROOT / package).rglob("*.py")]
    starting = {path for path in files if "sys.executable" in path.read_text(encoding="utf-8")}
    assert starting == {ROOT / "wafer_data" / "own_code.py"}


def test_the_digest_changes_with_the_code_and_with_nothing_else(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "router").mkdir()
    (tmp_path / "router" / "a.py").write_text("one")
    monkeypatch.setattr(own_code, "ROOT", tmp_path)

    def digest() -> str:
        code_digest.cache_clear()
        return code_digest("router")

    try:
        first = digest()
        (tmp_path / "router" / "a.pyc").write_bytes(b"compiled")
        assert digest() == first
        (tmp_path / "router" / "a.py").write_text("two")
        second = digest()
        (tmp_path / "router" / "a.py").rename(tmp_path / "router" / "b.py")
        assert len({first, second, digest()}) == 3
    finally:
        code_digest.cache_clear()

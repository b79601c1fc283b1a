"""The house stands: imports go downwards only, and a bare install runs without the training side."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "waferroute",
    "wafer_data",
    "router",
    "likelihood",
    "student_vae",
    "training",
    "teacher",
    "distill",
    "tool_side",
    "classify",
    "wafer_map",
    "eval",
    "service",
    "lifecycle",
)
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
    "contracts"
]
FORBIDDEN = next(contract for contract in CONTRACTS if contract["type"] == "forbidden")
# `service` and `archive` have extras of their own; the server of a Triton model brings the module that it imports
ELSEWHERE = (
    "service",
    "tool_side.archive",
    "tool_side.triton.routed_model",
    "tool_side.triton.student_model",
)
COMMANDS = ["waferroute.cli", "waferroute.certificate_check", "waferroute.klarf_inspect"]

# Runs its last lines as if only the named packages were installed.
BARE_INSTALL = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
HIDDEN = {hidden!r}
sys.meta_path.insert(0, Hidden())
{code}
"""


def test_imports_keep_to_the_floors():
    ended = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "0 broken" in ended.stdout


def requirements_of(name: str) -> list[str]:
    """Names of what a package needs without extras."""
    try:
        requires = distribution(name).requires or []
    except PackageNotFoundError:
        return []
    needed = [line for line in requires if "extra ==" not in line]
    return [re.split(r"[<>=!~\[ ;(]", line)[0].lower().replace("_", "-") for line in needed]


def hidden_packages() -> set[str]:
    """Top-level modules of everything that is installed here but not in a bare install."""
    bare, pending = {"waferroute"}, ["waferroute"]
    while pending:
        for name in requirements_of(pending.pop()):
            if name not in bare:
                bare.add(name)
                pending.append(name)
    assert {"numpy", "onnxruntime", "pillow"} <= bare
    return {
        module
        for module, owners in packages_distributions().items()
        if not bare & {owner.lower().replace("_", "-") for owner in owners}
    }


def as_bare_install(code: str) -> subprocess.CompletedProcess[str]:
    script = BARE_INSTALL.format(hidden=hidden_packages(), code=code)
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_the_simulated_bare_install_hides_the_training_side():
    assert {"torch", "pydantic", "omegaconf", "rich", "scipy", "timm"} <= hidden_packages()
    assert not {"numpy", "PIL", "onnxruntime", "waferroute"} & hidden_packages()
    assert "ModuleNotFoundError" in as_bare_install("import torch").stderr


def modules_below(name: str) -> list[str]:
    """A module or package, with everything in it."""
    path = ROOT / name.replace(".", "/")
    found = (
        [path.with_suffix(".py")]
        if path.with_suffix(".py").is_file()
        else sorted(set(path.rglob("*.py")) - set(path.rglob("__main__.py")))
    )
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in found
    ]


def test_a_bare_install_can_import_all_that_the_contract_names():
    named = [module for name in FORBIDDEN["source_modules"] for module in modules_below(name)]
    commands = [module for name in COMMANDS for module in modules_below(name)]
    modules = [*commands, *(module for module in named if not module.startswith(ELSEWHERE))]
    assert len(modules) > 50 and {"tool_side.runtime.inspector", "router.gate"} <= set(modules)
    ended = as_bare_install("\n".join(f"import {module}" for module in modules))
    assert ended.returncode == 0, ended.stderr


def test_all_of_the_tool_side_but_its_export_is_in_the_contract():
    found = [path for path in (ROOT / "tool_side").iterdir() if path.is_dir() or path.suffix == ".py"]
    rooms = {f"tool_side.{path.stem}" for path in found if not path.name.startswith("_")}
    assert rooms - {"tool_side.export"} <= set(FORBIDDEN["source_modules"])


def test_the_command_line_starts_without_anything_but_the_standard_library():
    code = (
        "import sys; before = set(sys.modules); from waferroute.cli.start import build_parser; build_parser(); "
        "print({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ast.literal_eval(ended.stdout) == {"waferroute", "wafer_data"}, ended.stderr


def test_a_training_command_of_a_bare_install_says_what_to_install():
    code = "from waferroute.cli import main; raise SystemExit(main(['run', 'configs/quickstart.yaml']))"
    ended = as_bare_install(code)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ") and 'pip install "waferroute[train]"' in ended.stderr
    assert "Traceback" not in ended.stderr


def test_every_package_says_what_it_is():
    for package in PACKAGES:
        text = (ROOT / package / "__init__.py").read_text(encoding="utf-8")
        assert text.startswith('"""'), package


def test_no_source_file_unpickles():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"^\s*(import|from) (pickle|joblib|dill|cloudpickle)\b", text, re.M), path
            assert "weights_only=False" not in text and "allow_pickle=True" not in text, path


def test_a_walk_opens_files_that_exist_and_no_more_than_it_may():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    walk = text[text.index("**(c)") :].partition("\n## ")[0]
    files = re.findall(r"^\d+\. `([^`]+)`", walk, re.M)
    assert 10 < len(files) <= 20 and len(set(files)) == len(files)
    assert [name for name in files if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(("walk", "most"), [("a", 10), ("b", 20), ("c", 20)])
def test_the_walks_through_the_code_are_short_and_their_files_exist(walk: str, most: int):
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    steps = re.search(rf"^\*\*\({walk}\).*?(?=^\*\*\(|^## )", text, re.M | re.S)
    assert steps is not None
    files = re.findall(r"\d+\. `([^`]+)`", steps[0])
    assert 5 < len(files) <= most
    assert [file for file in files if not (ROOT / file).is_file()] == []

"""What the documents promise: every public name has its place, every page its way to it, and nothing is broken."""

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import waferroute

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.glob("*.md"))


def test_every_public_name_can_be_imported_and_explains_itself():
    assert len(waferroute.__all__) == len(set(waferroute.__all__))
    for name in waferroute.__all__:
        found = getattr(waferroute, name)
        assert name == "__version__" or (found.__doc__ or "").strip(), name
    assert set(waferroute.__all__) <= set(dir(waferroute))


def test_the_types_of_lazy_names_are_known_to_type_checkers():
    source = (ROOT / "waferroute" / "__init__.py").read_text(encoding="utf-8")
    declared = set(re.findall(r" as (\w+)(?:  # noqa: F401)?$", source, re.M)) | {"__version__"}
    assert declared == set(waferroute.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Inspectr'"):
        waferroute.Inspectr  # noqa: B018


def test_importing_costs_nothing_but_the_standard_library():
    code = "import sys; import waferroute; dir(waferroute); print([n for n in ('numpy', 'torch') if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "[]", ended.stderr


def test_every_public_name_is_on_the_reference_page():
    page = (DOCS / "reference.md").read_text(encoding="utf-8")
    titles = [title.strip("`") for title in re.findall(r"^### (.+)$", page, re.M)]
    assert sorted(titles) == sorted(waferroute.__all__)
    for path in re.findall(r"^::: (\S+)$", page, re.M):
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path
    homes = [home if ":" in home else f"{home}:{name}" for name, home in waferroute._HOMES.items()]
    assert re.findall(r"^::: (\S+)$", page, re.M) == [home.replace(":", ".") for home in homes]


@pytest.mark.parametrize("path", [*PAGES, *sorted(ROOT.glob("*.md"))], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in link and not link.startswith(("#", "mailto:")):
            assert (path.parent / link.partition("#")[0]).exists(), f"{path.name}: {link}"


def test_the_readme_shows_every_folder():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"}
    missing = [
        name
        for name in sorted(packages | {"configs", "docs", "tests", "benchmarks", "experiments"})
        if f"\n{name}/" not in text
    ]
    assert missing == []


@pytest.mark.parametrize("name", ["waferroute"])
def test_examples_in_docstrings_say_what_happens(name: str):
    tried = doctest.testmod(importlib.import_module(name))
    assert tried.attempted > 0 and tried.failed == 0


def test_the_site_builds_without_a_warning(tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    for path in PAGES:
        name = "index.html" if path.stem == "index" else f"{path.stem}/index.html"
        assert (tmp_path / "site" / name).is_file(), name
    page = (tmp_path / "site" / "reference" / "index.html").read_text(encoding="utf-8")
    assert "calibrate_policy" in page and "Returns" in page

"""Which of the project's own modules a module needs: they travel in the model repository, beside its `model.py`.

The Python of a Triton server often has other package versions than waferroute asks for, and should not need
waferroute at all. So the very files that decide on the tool are copied, found by following the imports in the
source text. Standard library only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("tool_side", "router", "wafer_data", "classify", "wafer_map")
_ROOT = Path(__file__).resolve().parents[2]


def own_files(*modules: str) -> dict[str, bytes]:
    """Path below the root of the packages ("router/policy.py") -> content, for `modules` and all that they import.

    Imports inside functions count too; packages other than PACKAGES are left to the server's Python.

    Raises:
        ModuleNotFoundError: For a module that does not exist.
    """
    found: dict[str, bytes] = {}
    pending = list(modules)
    while pending:
        module = pending.pop()
        path = _file_of(module)
        if path in found:
            continue
        found[path] = (_ROOT / path).read_bytes()
        pending += _imports(found[path])
        if "." in module:
            pending.append(module.rpartition(".")[0])  # the package around it, which Python imports first
    return dict(sorted(found.items()))


def _file_of(module: str) -> str:
    base = module.replace(".", "/")
    for path in (f"{base}.py", f"{base}/__init__.py"):
        if (_ROOT / path).is_file():
            return path
    raise ModuleNotFoundError(f"the source of {module} is not installed", name=module)


def _imports(source: bytes) -> Iterator[str]:
    """Modules of PACKAGES that are imported somewhere in the source."""
    for node in _nodes(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if name.partition(".")[0] in PACKAGES and _is_module(name))


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below, but not what only a type checker sees."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _nodes(child)


def _is_module(name: str) -> bool:
    """Whether the name is a module and not something inside one (`from router.policy import REVIEW`)."""
    base = _ROOT / name.replace(".", "/")
    return base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()

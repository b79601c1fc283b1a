"""How much code is there in the packages, with and without docstrings, comments and blank lines, at a revision?

    .venv/bin/python benchmarks/lines_of_code.py 226da71 HEAD

The packages are those that a first house of nine floors became; `LATER` are their parts that serve other purposes.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tokenize
from collections import Counter

PACKAGES = [
    "waferroute", "eval", "distill", "tool_side", "student_vae", "likelihood", "training", "teacher", "router",
    "wafer_data",
]  # fmt: skip
_COMMANDS = (
    "agent", "classes", "feedback", "fleet", "keys", "klarf", "lot", "model", "msa", "nearest", "pack", "pretrain",
    "retrain", "score", "serve", "service", "sign", "wafer",
)  # fmt: skip
LATER = (
    "wafer_data/shards/", "wafer_data/defect.py", "wafer_data/imaging/tiling.py", "tool_side/archive/",
    "tool_side/agent/", "tool_side/bundle/sign", "teacher/pretrain/", "teacher/questions/", "likelihood/answers.py",
    "eval/msa/", "waferroute/klarf_", "waferroute/classes.py", "waferroute/retraining.py",
    *(f"waferroute/cli/{name}.py" for name in _COMMANDS),
)  # fmt: skip
_NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
}  # fmt: skip


def lines_with_code(source: str) -> int:
    """Lines that hold anything but docstrings, comments and nothing."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body and ast.get_docstring(node, clean=False) is not None else None
            if first is not None:
                documented |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - documented)


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("revisions", nargs="+", metavar="REVISION")
    for revision in parser.parse_args().revisions:
        lines: Counter[str] = Counter()
        code: Counter[str] = Counter()
        for path in _git("ls-tree", "-r", "--name-only", revision, *PACKAGES).splitlines():
            if path.endswith(".py"):
                source = _git("show", f"{revision}:{path}")
                part = "later" if path.startswith(LATER) else path.partition("/")[0]
                lines[part] += len(source.splitlines())
                code[part] += lines_with_code(source)
        print(f"{revision}: {lines.total()} lines, {code.total()} of code")
        print(
            f"  without what came later: {lines.total() - lines['later']} lines, {code.total() - code['later']} of code"
        )
        print("  code: " + ", ".join(f"{part} {count}" for part, count in sorted(code.items())))


if __name__ == "__main__":
    main()

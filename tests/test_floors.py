"""The house: truemark ← domains ← the five siblings, which never import each other; nothing heavy at the top of a module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {"truemark": 0, "domains": 1, "train": 2, "exports": 2, "evalsuite": 2, "serve": 2, "demos": 2}
HEAVY = {
    "torch",
    "transformers",
    "peft",
    "trl",
    "datasets",
    "vllm",
    "gradio",
    "onnxruntime",
    "llama_cpp",
    "matplotlib",
    "accelerate",
    "sympy",
    "sqlalchemy",
    "psycopg",
    "ray",
}
VOTES = ("truemark/votes_schema.py", "truemark/votes_sql.py")
FILES = [file for room in FLOORS for file in sorted((ROOT / room).rglob("*.py"))]


def imports(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import: path = import path"
            yield node.module or ""


def top_level(tree: ast.Module) -> Iterator[str]:
    """Imports that run when the module is imported (not under TYPE_CHECKING, not in functions)."""
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield from imports(
            [n for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom)]
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            else []
        )


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_down_the_floors(file: Path) -> None:
    room = file.relative_to(ROOT).parts[0]
    tree = ast.parse(file.read_text())
    for name in imports([n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]):
        other = name.split(".")[0]
        if other in FLOORS and other != room:
            assert FLOORS[other] < FLOORS[room], f"{file.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_heavy_at_the_top(file: Path) -> None:
    heavy = {name for name in top_level(ast.parse(file.read_text())) if name.split(".")[0] in HEAVY}
    # SymPy's own files run in the sandbox's workers, never for `--help`
    # and the runners are copied into bundles: each stands alone on one engine; `evaluate` imports what is under hf/, nothing here does;
    # the votes' two files of tables and queries are imported inside `votes.open_store` alone (see below)
    allowed = {
        "domains/math": {"sympy"},
        "exports/runners": {"llama_cpp", "onnxruntime_genai"},
        "evalsuite/hf": {"datasets"},
        **{path: {"sqlalchemy"} for path in VOTES},
    }
    path = file.relative_to(ROOT)
    assert {name.split(".")[0] for name in heavy} <= allowed.get(
        path.as_posix(), allowed.get(path.parent.as_posix(), set())
    )


def test_sqlalchemy_stays_behind_the_votes() -> None:
    modules = {path.removesuffix(".py").replace("/", ".") for path in VOTES}
    importing = {
        file.relative_to(ROOT).as_posix() for file in FILES if modules & set(top_level(ast.parse(file.read_text())))
    }
    assert importing <= set(VOTES)


@pytest.mark.parametrize(
    "file", sorted((ROOT / "domains").glob("*/**/*.py")), ids=lambda file: str(file.relative_to(ROOT))
)
def test_a_domain_knows_no_other(file: Path) -> None:
    own = file.relative_to(ROOT).parts[1]
    rooms = {path.name for path in (ROOT / "domains").iterdir() if (path / "__init__.py").exists()}
    for name in imports(
        [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Import | ast.ImportFrom)]
    ):
        parts = name.split(".")
        assert not (parts[0] == "domains" and len(parts) > 1 and parts[1] in rooms - {own}), f"{file.relative_to(ROOT)} imports {name}"  # fmt: skip

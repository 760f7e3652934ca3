"""The source of the three packages as syntax trees, and the files that are or would be committed."""

import ast
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("workflows", "activities", "workers")


def modules(*packages: str) -> list[tuple[Path, ast.Module]]:
    """Each Python file of these packages, relative to the root, with its tree."""
    files = [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]
    return [(file.relative_to(ROOT), ast.parse(file.read_text(encoding="utf-8"))) for file in files]


def imported(tree: ast.AST) -> set[str]:
    """The modules that a tree imports, with the names it takes from them."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names}
    return found


def used(tree: ast.AST) -> set[str]:
    """Every dotted name that a tree reads, with what its imports stand for: `from os import environ as e; e` is
    `os.environ`."""
    stands_for: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            stands_for |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            stands_for |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and (name := _dotted(node)):
            first, _, rest = name.partition(".")
            found.add(".".join(part for part in (stands_for.get(first, first), rest) if part))
    return found


def uses(tree: ast.AST, banned: str) -> bool:
    """The tree reads `banned` or something of it."""
    return any(name == banned or name.startswith(f"{banned}.") for name in used(tree))


def committed() -> list[Path]:
    """Every file that git tracks or would add, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    files = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    return [file for file in files if (ROOT / file).is_file()]


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return None

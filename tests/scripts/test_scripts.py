"""What scripts may lean on: what the package lists as public, and of each other only what is no command."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "scripts").rglob("*.py"))
COMMANDS = {path.stem for path in SCRIPTS if "def main(" in path.read_text()}
NAMING = ("*.md", "Makefile", "docs/*.md", "hf_canon/**/*.py", "scripts/**/*.py", "scripts/**/*.sh")


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Modules, and the names that are taken from them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((name.name, "") for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", name.name) for name in node.names)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_takes_nothing_from_a_command_and_nothing_private(path: Path) -> None:
    for module, name in imports(path):
        assert module.startswith("hf_canon") or not {*module.split("."), name} & COMMANDS, f"{module} is a command"
        assert not re.search(r"(^|\.)_[a-z]", f"{module}.{name}"), f"{name} of {module} is private"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr):
            assert isinstance(node.value, ast.Name) and node.value.id == "self", f"{ast.unparse(node)} is private"


@pytest.mark.parametrize("path", sorted((ROOT / "scripts/benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_takes_what_the_package_lists(path: Path) -> None:
    for module, name in imports(path):
        if module.partition(".")[0] == "hf_canon" and not ROOT.joinpath(*module.split("."), name).is_dir():
            assert name in import_module(module).__all__, f"{name} is not public in {module}"


def test_scripts_that_are_named_are_there() -> None:
    texts = [path.read_text() for pattern in NAMING for path in ROOT.glob(pattern)]
    named = set(re.findall(r"\bscripts/[a-z0-9_/]+\.(?:py|sh|yaml|json)\b", "\n".join(texts)))
    assert len(named) > 30
    assert {name for name in named if not (ROOT / name).is_file()} == set()

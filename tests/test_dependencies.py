"""What is imported is declared in pyproject.toml: nothing is used that only comes along with something else."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
OURS = {"hf_canon"} | {path.stem for folder in ("tests", "scripts") for path in (ROOT / folder).rglob("*")}
ELSEWHERE = {
    "spaces": "a machine of the Hub has it, and no other",
    "equiadapt": "scripts/rival_environment.sh",
    "omegaconf": "scripts/rival_environment.sh",
    "librosa": "scripts/sound_rivals.sh",
    "torchaudio": "scripts/sound_rivals.sh",
}
"""What has an environment of its own, and where that comes from."""


def declared(*extras: str) -> dict[str, Requirement]:
    """The core, and what those extras add."""
    lines = PROJECT["dependencies"] + [line for extra in extras for line in EXTRAS[extra]]
    return {canonicalize_name(one.name): one for one in map(Requirement, lines)}


def imported(path: Path) -> set[str]:
    """The packages of others that a file imports, in functions and for types too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module))
    return {name.partition(".")[0] for name in names} - OURS - set(ELSEWHERE) - set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("files", "extras"),
    [
        ("hf_canon/**/*.py", ()),
        ("hf_canon/demo/**/*.py", ("demo",)),
        ("tests/**/*.py", ("demo", "mcp", "dev")),
        ("scripts/**/*.py", ("demo", "dev", "benchmarks")),
    ],
)
def test_what_is_imported_is_declared(files: str, extras: tuple[str, ...]) -> None:
    brings = packages_distributions()
    known = set(declared(*extras))
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in ROOT.glob(files)
        if extras or "demo" not in path.parts  # whose extra has more
        for name in imported(path)
        if not known & {canonicalize_name(one) for one in brings.get(name, [name])}
    }
    assert not missing


def test_what_is_declared_is_no_newer_than_what_is_tried() -> None:
    installed = declared(*EXTRAS)
    for name in ("hf-canon", "timm"):  # ourselves, and what is tried where it is there
        installed.pop(name)
    assert not {str(one) for one in installed.values() if not one.specifier.contains(version(one.name))}
    assert all(one.specifier for one in installed.values())

"""Before any import that reads them: nothing comes from the network, or from what earlier runs left in the caches."""

import atexit
import os
import shutil
import tempfile
from collections import defaultdict

home = tempfile.mkdtemp(prefix="hf_canon-tests-")
atexit.register(shutil.rmtree, home, ignore_errors=True)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = home
# Figures are drawn to files only.
os.environ["MPLBACKEND"] = "Agg"

import pytest  # noqa: E402
import torch  # noqa: E402

# The models in the tests are tiny: more threads would only wait for each other.
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    second = "cuda" if torch.cuda.is_available() else "cpu"
    parser.addoption("--device", default=second, help="device of the tests that take one: 'cuda' where there is one")


@pytest.hookimpl(tryfirst=True)  # `-m "not slow"` looks at the marks after us
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Rows that `covering` does without are slow, and a second device is compared where there is one."""
    tests = defaultdict(list)
    for item in items:
        if item.get_closest_marker("covering"):
            tests[item.nodeid.partition("[")[0]].append(item)
    for rows in tests.values():
        for item in covered_by_others(rows):
            item.add_marker("slow")
    if config.getoption("--device") == "cpu":
        compared = [item for item in items if "second_device" in item.fixturenames]
        config.hook.pytest_deselected(items=compared)
        items[:] = [item for item in items if "second_device" not in item.fixturenames]


def covered_by_others(rows: list[pytest.Item]) -> list[pytest.Item]:
    """The rows of one test that its default run does without.

    A column of its mark is a parameter, or several, as in `"name, dtype"`. The default run has every value of each
    column, and every combination of values of several, in few rows: one after the other, the one that adds most.
    Where no column is named, the first row stands for all.
    """
    columns = rows[0].get_closest_marker("covering").args
    shown = [
        {(), *((column, *(repr(row.callspec.params[name]) for name in column.split(", "))) for column in columns)}
        for row in rows
    ]
    missing, left = set().union(*shown), list(range(len(rows)))
    while missing:
        best = max(left, key=lambda row: len(shown[row] & missing))
        missing -= shown[best]
        left.remove(best)
    return [rows[row] for row in left]


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.config.getoption("--device"))


@pytest.fixture
def second_device(device: torch.device) -> torch.device:
    """The device, for tests that compare it with the CPU."""
    return device


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()  # each compiled thing is its own: earlier ones do not count against the recompile limit

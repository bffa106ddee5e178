# make demo: install what is missing, then open the app.   make test: install what is missing, then check everything.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 7860
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
# Several thread pools on few cores slow each other down; tests run in several processes instead, one a core of a small machine.
# The long files come first, and the many short ones fill the end.
WORKERS ?= 2
TEST_ENV := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 GRADIO_ANALYTICS_ENABLED=False

.PHONY: demo test test-gpu soak lint format bench bench-real fuzz screenshots wheel clean

demo: $(VENV)/.app-installed
	$(BIN)/maskgroup app --port $(PORT)

test: $(VENV)/.dev-installed
	bash tests/browser/install_chromium.sh
	bash tests/install_postgres.sh
	bash tests/install_proxies.sh
	$(MAKE) --no-print-directory lint
	$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# What needs an NVIDIA GPU; all other tests do not see one.
test-gpu: $(VENV)/.dev-installed
	$(TEST_ENV) $(BIN)/python -m pytest -m gpu

# What takes too long for every day: the same assertions on more rounds and larger sizes.
soak: $(VENV)/.dev-installed
	$(TEST_ENV) $(BIN)/python -m pytest -m soak

lint: $(VENV)/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --project pyproject.toml
	$(BIN)/lint-imports

format: $(VENV)/.dev-installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev-installed
	for bench in $(filter-out tests/bench/bench_real.py,$(wildcard tests/bench/bench_*.py)); do $(BIN)/python -m tests.bench.$$(basename $$bench .py) || exit 1; done

# What sensors, segmenters and drifting poses cost: the bundled room and N procedural ones.
bench-real: $(VENV)/.dev-installed
	$(BIN)/python -m tests.bench.bench_real sh3d_living --rooms $(or $(N),2)

# Every reader of scenes on 500 broken folders; COUNT=5000 SEED=1 for more.
COUNT ?= 500
SEED ?= 0
fuzz: $(VENV)/.dev-installed
	$(TEST_ENV) $(BIN)/python -m tests.fuzz.run --count $(COUNT) --seed $(SEED)

screenshots: $(VENV)/.dev-installed
	$(BIN)/python -m tests.browser.take_screenshots docs/images

wheel: $(VENV)/.dev-installed
	$(BIN)/python -m build --wheel --outdir dist

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.app-installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing maskgroup (the first time takes a few minutes: PyTorch is large) ..."
	$(PIP) -e ".[photos]"
	@touch $@

$(VENV)/.dev-installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing maskgroup with its test tools (the first time takes a few minutes: PyTorch is large) ..."
	$(PIP) -e ".[dev,pytorch3d]"
	@touch $@ $(VENV)/.app-installed

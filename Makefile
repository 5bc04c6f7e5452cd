# make demo: the main comparison.  make test: everything that must hold.  Both create .venv and install what they need.
PYTHON ?= python3
BIN := .venv/bin

# The tests start hundreds of processes, which need not compile the same files each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all clean

# Published labels and controls, 100 trials per cell. Exit code 1 means that some trials failed, which is an outcome.
DEMO := mmd osmmd mle wgan truth mle_exact init

demo: .venv/.installed
	$(BIN)/bench run gaussian_cov --trials 100 $(addprefix --method ,$(DEMO)) || test $$? -eq 1

# Two processes, a file's tests together: one core is never enough, and most tests use one.
TWO := --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest $(TWO)

test-all: .venv/.installed-test
	$(BIN)/pytest $(TWO) -m "slow or not slow"

clean:
	rm -rf .venv build dist *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml | $(BIN)/python
	@echo "installing into .venv: PyTorch alone takes some gigabytes and minutes"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.installed-test: pyproject.toml | $(BIN)/python
	@echo "installing into .venv: PyTorch alone takes some gigabytes and minutes"
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@ .venv/.installed

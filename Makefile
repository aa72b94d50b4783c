# `make` alone lists what there is. PYTHON=, TORCH= and TORCH_INDEX= reach scripts/setup_env.sh, which explains them.

BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test slow-test soak lint format clean
.PHONY: benchmark-alignments benchmark-scaling benchmark-training-step benchmark-dynamic-kd benchmark-latency benchmark-export benchmark-freed-memory

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-24s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv with everything in it (the others do this first)
	@scripts/setup_env.sh

demo: setup ## the whole method, small, on a generated corpus; ends in one table
	$(BIN)/python scripts/demo.py

lint: setup ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test: lint ## lint, then every test that is not slow, a file on each core
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations=15

slow-test: setup ## the tests that take minutes
	$(BIN)/python -m pytest -m slow --durations=15

soak: setup ## kill -9 prepare, distill, train and tune SOAK_KILLS=200 times: nothing is lost (20 minutes)
	$(BIN)/python -m pytest -m soak --capture=no tests/soak

benchmark-alignments: setup ## the losses against fairseq's cross entropy: time, memory, Viterbi (minutes)
	$(BIN)/python benchmarks/alignments.py

benchmark-scaling: setup ## cost against B, V and n·m, with a plot
	$(BIN)/python benchmarks/scaling.py

benchmark-training-step: setup ## a whole step of transformer-base, AXE against cross entropy
	$(BIN)/python benchmarks/training_step.py

benchmark-dynamic-kd: setup ## a step of GLAT that chooses among candidate targets against a plain one
	$(BIN)/python benchmarks/dynamic_kd.py

benchmark-latency: setup ## one pass against autoregressive translation, random weights in the shapes of transformer-base
	$(BIN)/python benchmarks/latency.py

benchmark-export: setup ## exported one-pass models (ONNX Runtime, int8) against torch
	$(BIN)/python benchmarks/export.py

benchmark-freed-memory: setup ## trainings on a CPU with and without kept memory
	$(BIN)/python benchmarks/freed_memory.py

format: setup ## let ruff rewrite the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## delete .venv, what was built and the caches (no data, no runs)
	rm -rf .venv .venv.trash.* .venv.new.* .venv.lock build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

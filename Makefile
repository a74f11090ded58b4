# `make demo` and `make test` need Python 3.11 and a C compiler, and nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CODECS := noise,identity,mulaw:8bit,opus:6kbps,opus:24kbps,spectrogram-kmeans
# Every setting of every codec that needs no download, for the committed results.
ALL_CODECS := noise:all,identity:all,mulaw:all,opus:all,spectrogram-kmeans:all
TASKS := reconstruction,tokens,quality
# Folder of recorded speech with a manifest.csv, for what is trained here.
SPEECH ?= speech
LEARNT := manifest:$(SPEECH)/manifest.csv?split=train&corpus=librispeech|mandarin-syllables|spoken-digits|keywords|commands
SCORED := manifest:$(SPEECH)/manifest.csv?corpus=librispeech&split=test

.DEFAULT_GOAL := help
.PHONY: help demo test lint types unit results leaderboards trained study benchmark clean

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps descript-audio-codec==1.0.0 descript-audiotools==0.7.2
	@touch $@

demo: $(BIN)/.installed ## Install, score 6 codec settings on the embedded corpus, build the tables and pages
	$(BIN)/tokbench run --codec $(CODECS) --task $(TASKS) --corpus 'synth?split=demo' --results demo/results
	$(BIN)/tokbench leaderboard build --results demo/results --out demo/leaderboards
	@echo "Open demo/leaderboards/overview.html in a browser."

test: lint types unit leaderboards ## Everything that must hold: lint, types, layers, tests, committed tables

lint: $(BIN)/.installed ## Lint, format and import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(BIN)/.installed ## Static types
	$(BIN)/mypy

unit: $(BIN)/.installed ## The test-suite, on every core
	$(BIN)/pytest -n auto --dist worksteal --cov=tokbench --cov-report=term:skip-covered

leaderboards: $(BIN)/.installed ## Check that the committed tables follow from the committed records
	$(BIN)/tokbench leaderboard build --check

results: $(BIN)/.installed ## Run again what is committed under results/ and leaderboards/
	$(BIN)/tokbench run --codec $(ALL_CODECS) --task $(TASKS) --corpus synth --results results
	$(BIN)/tokbench leaderboard build

trained: $(BIN)/.installed ## Train the shipped codecs that are missing (a night), score them, and compare them
	-$(BIN)/tokbench study designs --corpus '$(LEARNT)' --corpus 'synth?split=train' --scored-on '$(SCORED)' --ship tokbench/codecs/weights_data
	$(BIN)/tokbench leaderboard build designs
	$(BIN)/python docs/generate.py

study: $(BIN)/.installed ## Train and score one spec with one switch at a time flipped (a night)
	-$(BIN)/tokbench study ablations --corpus '$(LEARNT)' --corpus 'synth?split=train' --scored-on '$(SCORED)'
	$(BIN)/tokbench leaderboard build ablations
	$(BIN)/python docs/generate.py

benchmark: $(BIN)/.installed ## Measure speed and memory against bare loops
	$(BIN)/python benchmarks/run.py

clean: ## Remove what was made here
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .coverage

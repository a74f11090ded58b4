# `make demo` and `make test` need Python 3.11 or newer, a C compiler, and the network for the first installation.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CODECS := noise,identity,mulaw:8bit,opus:6kbps,opus:24kbps,spectrogram-kmeans
# The anchors and the simplest codecs, at every setting.
ALL_CODECS := noise:all,identity:all,mulaw:all,opus:all,spectrogram-kmeans:all
TASKS := reconstruction,tokens,quality
# Every question about tokens, asked of the shipped tokenizers.
UNITS := hubert-tiny-km100,hubert-tiny-km500,w2v-bert-tiny-km100,spin-tiny,dc-spin-tiny,log-mel-km100,mfcc-km100,unit-vocoder-tiny
FEATURES := hubert-tiny,w2v-bert-tiny,log-mel,mfcc,cont-spt-tiny
NEURAL := encodec-tiny,soundstream-tiny,speechtokenizer-tiny,dac-tiny,hificodec-tiny,funcodec-tiny,freqcodec-tiny,audiodec-tiny,dm-codec-tiny,mimi-tiny
MODELLED := hubert-tiny-km100,hubert-tiny-km500,unit-vocoder-tiny:100,encodec-tiny,encodec-tiny:1x1024,speechtokenizer-tiny,speechtokenizer-tiny:1x1024
CLASSICAL := spectrogram-kmeans,opus,codec2,lpc,gsm,amr-nb,g711,identity,noise
CARRIED := abx,abx-codes,abx-latents,abx-phones,abx-phones-any,abx-words,abx-syllables,abx-tones,text-alignment,tone,tone-vowels,tone-study,tone-contours,tone-contours-syllables,probe-phones,probe-digits,probe-keywords,probe-speaker,probe-emotion,probe-language,probe-intent,probe-slots,probe-sound,probe-asr,probe-asr-text,economy,economy-transformer,phone-information,speaker,speaker-tokens,intelligibility,phones-ctc,characters-ctc,digits-asr,robustness,reencoding,other-speakers,streaming,slmtokbench-words-first,slmtokbench-words-rest,slmtokbench-voice,slmtokbench-voice-first,slmtokbench-voice-rest
# Folder of recorded speech: a manifest.csv with the columns path, text, speaker, split and corpus (docs/corpora.md).
SPEECH ?= speech
LEARNT := manifest:$(SPEECH)/manifest.csv?split=train&corpus=librispeech|mandarin-syllables|spoken-digits|keywords|commands
RECORDED := manifest:$(SPEECH)/manifest.csv?corpus=
SCORED := manifest:$(SPEECH)/manifest.csv?corpus=librispeech&split=test

.DEFAULT_GOAL := help
.PHONY: help demo test lint types unit coverage results leaderboards trained judges study carried lms benchmark clean

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

unit: $(BIN)/.installed ## The test suite, on every core
	$(BIN)/pytest -n auto --dist worksteal

coverage: $(BIN)/.installed ## The test suite again, slower, with the branches that it does not reach
	$(BIN)/pytest -n auto --dist worksteal --cov=tokbench --cov-report=term:skip-covered

leaderboards: $(BIN)/.installed ## Check that the committed tables follow from the committed records
	$(BIN)/tokbench leaderboard build --check

results: $(BIN)/.installed ## Score the anchors, mu-law, Opus and k-means where records are missing, and build the tables
	$(BIN)/tokbench run --codec $(ALL_CODECS) --task $(TASKS) --corpus synth --results results
	$(BIN)/tokbench leaderboard build

trained: $(BIN)/.installed ## Train the shipped codecs that are missing, score and compare them (a night; needs SPEECH=folder)
	-$(BIN)/tokbench study designs --corpus '$(LEARNT)' --corpus 'synth?split=train' --scored-on '$(SCORED)' --ship tokbench/codecs/weights_data
	$(BIN)/tokbench leaderboard build designs
	$(BIN)/python docs/generate.py

judges: $(BIN)/.installed ## Teach the recognizers and classifiers of the shipped tasks that do not lie beside the code
	$(BIN)/python -m tokbench.runners.shipped_judges

study: $(BIN)/.installed ## Train and score one spec with one switch flipped at a time (a night; needs SPEECH=folder)
	-$(BIN)/tokbench study ablations --corpus '$(LEARNT)' --corpus 'synth?split=train' --scored-on '$(SCORED)'
	$(BIN)/tokbench leaderboard build ablations
	$(BIN)/python docs/generate.py

carried: $(BIN)/.installed ## Score the tokens of all shipped tokenizers on every task (several nights; partly needs SPEECH=folder)
	-$(BIN)/tokbench run --codec $(UNITS),$(NEURAL),$(FEATURES),$(CLASSICAL) --task $(CARRIED) --examples 0
	-$(BIN)/tokbench run --codec $(UNITS),$(NEURAL) --task tone-syllables,tone-vowels-syllables,tone-speakers,tone-contours-syllables,abx-recorded-tones --corpus '$(RECORDED)mandarin-syllables&split=test' --examples 0
	-$(BIN)/tokbench run --codec $(UNITS),$(NEURAL) --task probe-digits,abx-recordings --corpus '$(RECORDED)spoken-digits' --examples 0
	-$(BIN)/tokbench run --codec $(UNITS),$(NEURAL) --task probe-keywords,abx-recordings --corpus '$(RECORDED)keywords' --examples 0
	$(BIN)/tokbench leaderboard build
	$(BIN)/python docs/generate.py

lms: $(BIN)/.installed ## Train language models on semantic, acoustic and hybrid codes, and score them (several nights; partly needs SPEECH=folder)
	-$(BIN)/tokbench run --codec $(MODELLED) --task $(shell ls tasks/lm | sed 's/[.]toml//' | paste -sd,)
	-$(BIN)/tokbench run --codec $(MODELLED) --task lm-asr --corpus '$(RECORDED)spoken-digits&split=test'
	-$(BIN)/tokbench run --codec $(MODELLED) --task lm-kws --corpus '$(RECORDED)keywords&split=test'
	-$(BIN)/tokbench run --codec $(MODELLED) --task lm-tts --corpus '$(RECORDED)spoken-digits&split=test' --examples 0
	$(BIN)/tokbench leaderboard build codec-lm
	$(BIN)/python docs/generate.py

benchmark: $(BIN)/.installed ## Measure speed and memory against bare loops
	$(BIN)/python benchmarks/run.py

clean: ## Remove what was made here
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .coverage

# `make demo` and `make test` set everything up themselves; a second call is instant. `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
READY := $(VENV)/.ready-$(shell cat pyproject.toml constraints.txt 2>/dev/null | sha256sum | cut -c1-12)
export PATH := $(CURDIR)/$(BIN):$(PATH)
PROFILES := demo $(sort $(basename $(notdir $(wildcard profiles/*.yaml))))
# Headless rendering (EGL through Mesa) and what OpenCV links to.
SYSTEM_LIBRARIES := libEGL.so.1 libGL.so.1 libglib-2.0.so.0
SYSTEM_PACKAGES := libegl1 libgl1 libgl1-mesa-dri libglib2.0-0

.DEFAULT_GOAL := help
.PHONY: help setup system demo view starter test lint format doctor report mlflow clean

help: ## This list.
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(READY) ## Make .venv with pinned dependencies, and the system libraries of headless rendering.

system:
	@missing=""; for library in $(SYSTEM_LIBRARIES); do \
	  ldconfig -p 2>/dev/null | grep -q "$$library" || missing="$$missing $$library"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $(SYSTEM_PACKAGES); \
	  else echo "Missing system libraries:$$missing. Type: sudo apt-get install $(SYSTEM_PACKAGES)"; exit 1; fi; fi

# Its name says of which packages it tells, so it heeds no dates: a checkout renews those of files that stay the same.
$(READY):
	@$(MAKE) --no-print-directory system
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=python3.11 setup"'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing pinned packages into $(VENV): once, silently, 3 to 10 minutes, 8 GB"
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]' 2> >(grep -v '^WARNING: Location' >&2)
	@# viser asks for older packages than it needs: alone, not with what it depends on (pyproject.toml has that).
	@$(BIN)/pip install --quiet --constraint constraints.txt --no-deps viser 2> >(grep -v '^WARNING: Location' >&2)
	@rm -f $(VENV)/.ready-* && touch $@

demo: setup ## The whole pipeline on the embedded avatars: from scans to portraits, no data or GPU needed.
	@python -m pipelines demo

view: setup ## A page on this machine (127.0.0.1) in which heads are turned and restyled; needs no training. PORT=8081: there.
	@python -m pipelines view $(if $(PORT),--port $(PORT))

starter: setup ## The package's starter model made anew: the demo's models, written small to sofgan/starter.
	@{ ! grep -q '^profile:' params.yaml && git diff --quiet HEAD -- params.yaml; } || \
	  { echo "The starter learns from the embedded avatars alone: params.yaml has to be the demo's, as git has it"; exit 1; }
	@dvc repro train_siw
	@python -m sofgan.starter.train_parser
	@python -m sofgan.starter.make --models models --parser .work/starter/parser.pt

test: setup lint ## Lint, all tests in a process a core, the longest files first, and a rehearsal of every profile.
	@python -m pytest -n auto --dist loadfile --no-loadscope-reorder
	@python -m pipelines rehearse $(PROFILES)

lint: setup ## Check style and layout of the code.
	@ruff check . && ruff format --check --quiet .

format: setup ## Mend style and layout of the code, where a tool can.
	@ruff check --fix . && ruff format .

doctor: setup ## Check this machine and the project, a line each with the fix.
	@python -m pipelines doctor

report: setup ## Bring report/index.html up to date, with all stages that it needs: dvc repro report.
	@dvc repro report

mlflow: setup ## The MLflow UI on http://127.0.0.1:5000
	@mlflow ui --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db} --host 127.0.0.1 --port 5000

clean: ## Remove states of stopped trainings, what stages and benchmarks keep (.work), and report; data, models, DVC's cache stay.
	@# Runs that MLflow was not told of yet, services that are up, and the demo's params.yaml are not made again.
	@if test -d .work; then find .work -mindepth 1 -maxdepth 1 ! -name tracking ! -name services ! -name 'params*' -exec rm -rf {} +; fi
	rm -rf report

# Pilah: `make help` is the map. Everything that CI does, a person can do with one target.
PYTHON ?= python3
VENV   ?= .venv
DATA   ?= $(PILAH_DATA)
RUN    ?= runs/$(if $(FAST),fast,default)
RECIPE ?= $(if $(FAST),fast,auto)
START  ?= $(if $(FAST),random,imagenet)
OUT    ?= $(if $(FAST),$(RUN)/bundle.onnx,models/default.onnx)
ARGS   ?=
DESCRIPTION ?=
LIDS ?=

BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check
STAMPS  := $(VENV)/.pilah
BASE    := $(STAMPS)/base
TRAIN   := $(STAMPS)/training
SOURCES := pyproject.toml

# Where it is set, as in many containers, each process of a test would compile PyTorch anew, for eight seconds.
unexport PYTHONDONTWRITEBYTECODE

# A virtual environment belongs to one Python: after an upgrade of the system's, whatever needs it makes it anew.
STALE := $(if $(wildcard $(VENV)/.pilah),$(shell $(VENV)/bin/python -c 'import pip' >/dev/null 2>&1 || echo stale))
$(STAMPS): $(STALE)
$(BASE) $(TRAIN): $(if $(STALE),$(STAMPS))

.DEFAULT_GOAL := help
.PHONY: stale help run test bookworm soak powercut trials screenshots load drops lint format photos model bench arm64 arm64-count clean

help: ## list every target in a line
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 16 | sort

$(STAMPS):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "Pilah needs Python 3.11 to 3.13; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Making a virtual environment in $(VENV)"
	$(if $(STALE),@rm -rf $(VENV))
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "Python cannot make a virtual environment; on Debian: sudo apt install python3-venv"; exit 1; }
	@mkdir -p $@

$(BASE): $(SOURCES) | $(STAMPS)
	@echo "Installing what the device needs into $(VENV) (once; 400 MB)"
	@$(PIP) install --quiet --editable . \
	  || { echo "pip could not, for the reason above; is this machine online? The same command goes on from there."; exit 1; }
	@touch $@

# uv fetches and unpacks side by side, in a quarter of pip's time. It reads no settings of pip: where only those name an
# index or a proxy, pip does it. Neither compiles twelve thousand modules, most of which are never imported: Python
# compiles what it meets.
$(TRAIN): $(SOURCES) | $(STAMPS)
	@echo "Installing what linters, tests, training and export need into $(VENV) (once; PyTorch is 5 GB)"
	@{ $(PIP) install --quiet 'uv>=0.9,<1' \
	  && $(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev,training]'; } \
	  || { echo "uv could not; pip goes on"; $(PIP) install --quiet --no-compile --editable '.[dev,training]'; }
	@touch $@ $(BASE)

run: $(BASE) ## start the bin with mock GPIO and a simulated camera (ARGS="--drops 5 --json")
	@$(BIN)/python -m device run --camera simulated --pins mock $(ARGS)

# PYTHONUNBUFFERED, which many containers set, hides what a newcomer's file would have late or in another order.
test: $(TRAIN) ## install what tests need and run them all (ARGS="-k lids"; PILAH_DATA=folder of photos)
	@env -u PYTHONUNBUFFERED OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

OLDEST := $(VENV)-bookworm

$(OLDEST)/.pilah: $(SOURCES)
	@echo "Installing the device with Bookworm's numpy, and so its OpenCV, into $(OLDEST)"
	@$(PYTHON) -m venv $(OLDEST)
	@$(OLDEST)/bin/python -m pip install --disable-pip-version-check --quiet --editable . numpy==1.24.2
	@touch $@

bookworm: ## run the bin with the oldest libraries that a Pi may have (Python 3.11)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "Skipped: Bookworm's numpy needs Python 3.11; name one with: make bookworm PYTHON=python3.11"; exit 0; } \
	  && { $(OLDEST)/bin/python -c 'import pip' >/dev/null 2>&1 || rm -rf $(OLDEST); } \
	  && $(MAKE) --no-print-directory $(OLDEST)/.pilah \
	  && $(OLDEST)/bin/python -m device run --camera simulated --pins mock --drops 2 --no-page \
	  && $(OLDEST)/bin/python -m device classify device/camera/samples --json >/dev/null \
	  && $(OLDEST)/bin/python -m device calibrate --help >/dev/null && $(OLDEST)/bin/python -m device bench --help >/dev/null \
	  && $(OLDEST)/bin/python -c 'import device.doctor, device.page.commands, numpy, cv2; \
	    print("Runs with numpy", numpy.__version__, "and OpenCV", cv2.__version__)'

screenshots: $(TRAIN) ## take the pictures of the page for docs/ (needs chromium)
	@$(BIN)/python -m tests.screenshots $(ARGS)

load: $(TRAIN) ## drop to lid with and without 24 clients of the page, by turns (ARGS="--turns 20")
	@$(BIN)/python -m tests.load_page $(ARGS)

drops: $(TRAIN) ## drop what a run held out on made-up trays, and count the right lids of the whole bin (RUN=folder; ARGS="--drops 50 --seed 1")
	@$(BIN)/python -m tests.drops --run $(RUN) $(ARGS)

RENDERED := runs/rendered
MEASURED = $(if $(LIDS),--config "$(LIDS)")
# Named, so that prepare ends where the default bin does not know a material: evaluate would, an hour later.
FOUR_LIDS := --config device/config/presets/four-lids.toml
DESCRIBED = $(if $(DESCRIPTION),--description "$(DESCRIPTION)")

$(RENDERED): | $(TRAIN)
	@echo "Rendering waste on trays, one more source to train on"
	@$(BIN)/python -m training.render $(RENDERED).part --tray --seeds 100:122 --size 192 --samples 24
	@mv $(RENDERED).part $(RENDERED)

photos:
	@test -d "$(DATA)" || { echo "Name the folder of photos: make model DATA=../shared/data"; exit 1; }
	@for file in "$(DESCRIPTION)" "$(LIDS)"; do \
	  test -z "$$file" -o -f "$$file" || { echo "There is no file $$file: name it as it lies."; exit 1; }; done

model: photos $(TRAIN) $(if $(FAST),,$(RENDERED)) ## photos -> trained, evaluated, exported, verified bundle and its report (DATA=folder; DESCRIPTION=mine.toml; LIDS=pilah.toml; OUT=models/default.onnx; FAST=1)
	$(BIN)/python -m training prepare --data "$(DATA)" --run $(RUN) $(DESCRIBED) $(or $(MEASURED),$(FOUR_LIDS)) $(if $(FAST),--per-class 6,--rendered $(RENDERED))
	$(BIN)/python -m training train --data "$(DATA)" --run $(RUN) $(DESCRIBED) --recipe $(RECIPE) --start $(START) $(ARGS)
	$(BIN)/python -m training evaluate --run $(RUN) $(MEASURED)
	$(BIN)/python -m export --run $(RUN) --out $(OUT) $(if $(FAST),--accuracy-lost 1 --agreement 0 --calibration-photos 8)
	$(BIN)/python -m training report --run $(RUN) --bundle $(OUT) $(MEASURED)

soak: $(BASE) ## watch an empty tray for 10,000 frames, then run the bin for two simulated hours and look for leaks
	@$(BIN)/python -m tests.trials soak $(ARGS)
	@$(BIN)/python -m tests.trials endurance

powercut: $(BASE) ## kill the writer of the history at 200 random moments (ARGS="--kills 20")
	@$(BIN)/python -m tests.trials powercut $(ARGS)

trials: $(BASE) ## time presence, the way from a drop to the servo, idling, and leaving on a busy machine
	@$(BIN)/python -m tests.trials presence
	@$(BIN)/python -m tests.trials latency
	@$(BIN)/python -m tests.trials idle
	@$(BIN)/python -m tests.trials leaving

bench: $(TRAIN) ## time the bundle and its peers here; writes the table and plot of docs/performance.md (ARGS="--rounds 5")
	@mkdir -p build
	$(BIN)/python -m device bench --json $(ARGS) > build/bench.json
	$(BIN)/python -m export.plot build/bench.json

arm64: $(BASE) ## ARM64 wheels for tests/test_arm64.py, to be emulated (Debian: mmdebstrap, qemu-user-static)
	@$(BIN)/python -m tests.arm64

arm64-count: $(TRAIN) ## instructions a picture takes on a Pi 4 and a Pi 5, in four models (Debian; builds a QEMU once)
	@$(BIN)/python -m tests.arm64_count

lint: $(TRAIN) ## ruff (lint and format) and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m mypy

format: $(TRAIN) ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove the environment and every build product; keeps runs/ and models/
	rm -rf $(VENV) $(OLDEST) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

-include systemd/install.mk tests/pi/pi.mk

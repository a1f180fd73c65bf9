# Decant. `make demo` and `make test` install missing system packages and need no Python. `make parity`
# creates its own virtual environment for the cross-checks against diffusers, safetensors and numpy,
# `make consumers` one for the programs that load Decant's files, and `make test-browser` one for the
# browser and the clients of the server. `make cluster` installs Slurm.

SWIFT ?= swift
CONFIG := -c release
BUILD := .build/release
DECANT := $(BUILD)/decant
PYTHON ?= python3
VENV := .venv-parity
CONSUMERS_VENV := .venv-consumers
BROWSER_VENV := .venv-browser
FORMATTED := Package.swift Sources Tests Formats

.PHONY: all build demo test test-browser load fuzz parity consumers cluster bench format lint system slurm \
  chromium clean

all: build

# The shell commands that install packages, with options of apt-get.
install = echo "installing $(1)"; sudo=$$( [ "$$(id -u)" = 0 ] || echo sudo ); \
  $$sudo apt-get update -qq && \
  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(2) $(1)

# System libraries: OpenBLAS (products), libpng (images), zlib (deflate), libcrypto (SHA-256).
system:
	@if ! pkg-config --exists openblas libpng zlib libcrypto 2>/dev/null; then \
	  $(call install,libopenblas-dev libpng-dev libssl-dev zlib1g-dev pkg-config); \
	fi

# Slurm, and munge for its messages. Daemons are in /usr/sbin, which not every user has in PATH.
slurm: system
	@PATH=$$PATH:/usr/sbin; \
	if ! (for name in munged slurmctld slurmd sbatch; do command -v $$name || exit 1; done) >/dev/null; then \
	  $(call install,slurm-wlm munge,--no-install-recommends); \
	fi

# The browser of the system; Playwright's own cannot be downloaded everywhere.
chromium:
	@if ! (command -v chromium || command -v chromium-browser || command -v google-chrome) >/dev/null; then \
	  $(call install,chromium,--no-install-recommends); \
	fi

build: system
	$(SWIFT) build $(CONFIG) --product decant

lint:
	$(SWIFT) format lint --strict --recursive $(FORMATTED)

format:
	$(SWIFT) format --in-place --recursive $(FORMATTED)

test: system lint
	$(SWIFT) build $(CONFIG) --build-tests
	$(SWIFT) test $(CONFIG) --skip-build

# Drives the page of `decant serve` in a real browser, checks it with axe, and calls the APIs with clients
# of other authors. Screenshots are in .build/screenshots.
test-browser: build chromium $(BROWSER_VENV)/ready
	DECANT=$(abspath $(DECANT)) $(BROWSER_VENV)/bin/python -m pytest -q Tests/Browser

# 64 clients for a minute, with good, bad and aborted requests; prints figures.
load: build $(BROWSER_VENV)/ready
	DECANT=$(abspath $(DECANT)) $(BROWSER_VENV)/bin/python Tests/Browser/load.py

# Reads damaged and hostile files with every reader, or with one, and fails for each input that ends
# in a crash, takes too long or too much memory, or prints control characters. It saves these inputs in
# .build/fuzz. FIRST is the number of the first input; a number always gives the same one:
#   make fuzz SECONDS=600 [READER=gguf] [FIRST=0]
SECONDS ?= 600
FIRST ?= $(shell date +%s)000
fuzz: system
	$(SWIFT) build $(CONFIG) --build-tests
	DECANT_FUZZ_SECONDS=$(SECONDS) DECANT_FUZZ_READER=$(READER) DECANT_FUZZ_FIRST=$(FIRST) \
	  $(SWIFT) test $(CONFIG) --skip-build --filter FuzzTests

parity: build $(VENV)/ready
	$(VENV)/bin/python -m pytest -q Tests/Parity

# Loads files in the programs whose paths are given, and writes a table:
#   make consumers COMFYUI=checkout COMFYUI_GGUF=checkout SD_CLI=program [FAMILIES="sd-v1-4 ssd-1b"]
consumers: build $(CONSUMERS_VENV)/ready
	$(CONSUMERS_VENV)/bin/python Tests/Consumers/run.py --decant $(DECANT) \
	  $(if $(COMFYUI),--comfyui "$(COMFYUI)") $(if $(COMFYUI_GGUF),--comfyui-gguf "$(COMFYUI_GGUF)") \
	  $(if $(SD_CLI),--sd-cli "$(SD_CLI)") $(if $(FAMILIES),--families "$(FAMILIES)")

# Calibrates and quantizes a miniature model with the scripts of Tests/Cluster, on a Slurm that it starts
# on this machine, and compares the results with those of one machine.
cluster: build slurm
	DECANT=$(DECANT) bash Tests/Cluster/run.sh

# If the package index has no CPU build of torch, the default build is installed.
$(VENV)/ready: Tests/Parity/requirements.txt
$(CONSUMERS_VENV)/ready: Tests/Consumers/requirements.txt
$(BROWSER_VENV)/ready: Tests/Browser/requirements.txt
$(VENV)/ready $(CONSUMERS_VENV)/ready $(BROWSER_VENV)/ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --requirement $< || \
	  (sed 's/+cpu//' $< > $(@D)/any-build.txt && \
	  $(@D)/bin/python -m pip install --quiet --requirement $(@D)/any-build.txt)
	touch $@

# Shrinks the bundled miniature model in four ways. Writes the models, a report, and a grid of the
# images of all models.
MINI := Fixtures/mini-sd
CALIBRATED := --calibration demo/mini.calibration
demo: build
	rm -rf demo && mkdir demo
	$(DECANT) calibrate $(MINI) -o demo/mini.calibration --prompts $(MINI)/calibration.txt
	$(DECANT) shrink $(MINI) -o demo/int8.decant --type int8 $(CALIBRATED) --report demo/report
	$(DECANT) quantize $(MINI) -o demo/4.5-bits.decant --target-bits 4.5 $(CALIBRATED)
	$(DECANT) strip $(MINI) -o demo/stripped.decant --max-error 3% $(CALIBRATED)
	$(DECANT) quantize $(MINI)-small -o demo/distilled-int8.decant --type int8
	$(DECANT) generate $(MINI) demo/int8.decant demo/4.5-bits.decant demo/stripped.decant \
	  demo/distilled-int8.decant \
	  -p "a red circle on a blue background" \
	  -p "a large yellow star on a black background" \
	  -p "a small green heart at the top on a white background" \
	  -p "a purple ring on the left on a yellow background" \
	  -p "a white cross next to a black square on a green background" \
	  -p "an orange triangle above a cyan diamond on a brown background" \
	  -p "a pink square at the bottom on a gray background" \
	  -p "a blue heart next to a red star on a white background" \
	  --guidance-scale 4 --seed 7 --grid demo/grid.png
	@echo "look at demo/grid.png and demo/report/index.html; or run"
	@echo "  $(DECANT) serve $(MINI) demo/*.decant"
	@echo "and open http://127.0.0.1:7860 to make and compare images"

# Compares kernels, steps and conversions with torch, OpenVINO (if its wheel installs), cp, and
# stable-diffusion.cpp (if SD_CLI is the path of its program). Takes an hour on an idle machine and 25 GB
# of disk. Checks nothing.
bench: build $(VENV)/ready
	$(VENV)/bin/python -m pip install --quiet openvino nncf || echo "without OpenVINO"
	$(VENV)/bin/python Tests/Bench/run.py --decant $(DECANT) --output Tests/Bench/measurements.md \
	  $(if $(SD_CLI),--sd-cli $(SD_CLI))

clean:
	rm -rf .build $(VENV) $(CONSUMERS_VENV) $(BROWSER_VENV) demo

# Decant. `make demo` and `make test` install what they lack and need no Python; `make parity` makes
# a virtual environment of its own for the cross-checks against diffusers, safetensors and numpy.

SWIFT ?= swift
CONFIG := -c release
BUILD := .build/release
DECANT := $(BUILD)/decant
PYTHON ?= python3
VENV := .venv-parity
FORMATTED := Package.swift Sources Tests Formats

.PHONY: all build demo test parity bench format lint system clean

all: build

# Headers and libraries of the system: OpenBLAS, libpng, zlib.
system:
	@if ! pkg-config --exists openblas libpng zlib 2>/dev/null; then \
	  echo "installing libopenblas-dev libpng-dev zlib1g-dev pkg-config"; \
	  sudo=$$( [ "$$(id -u)" = 0 ] || echo sudo ); \
	  $$sudo apt-get update -qq && \
	  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	    libopenblas-dev libpng-dev zlib1g-dev pkg-config; \
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

parity: build $(VENV)/ready
	$(VENV)/bin/python -m pytest -q Tests/Parity

$(VENV)/ready: Tests/Parity/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement Tests/Parity/requirements.txt
	touch $@

# Shrinks the bundled miniature model every way the README speaks of and leaves demo/ to look at.
demo: build
	Fixtures/demo.sh $(DECANT) demo

# Prints figures; asserts nothing.
bench: build
	$(DECANT) bench Fixtures/mini-sd --steps 4

clean:
	rm -rf .build $(VENV) demo

# The few commands of this project. Each prepares .venv by itself from a bare python3 >= 3.12.

PY := .venv/bin/python
LCD ?= 16x2
DAYS ?= 1
# Two cores take three: one waits for a serial port or a server while two compute.
JOBS ?= 3

.PHONY: help run test bench build lint campaign drivers-check venv dev

help:
	@echo "make run       one simulated day on the virtual board (LCD=20x4, DAYS=7)"
	@echo "make test      all tests, device code on MicroPython and host code on CPython"
	@echo "make bench     measure; tables here, the same numbers in build/bench.json"
	@echo "               (LOGS=dir: the sampler on other poll logs, FRAMES=dir: the codec)"
	@echo "make build     build/board: what is copied onto an ESP32"
	@echo "make lint      check the style of the code"
	@echo "make campaign  the long random tests"
	@echo "make drivers-check  do other releases of aiobmsble translate, the newest too? (RELEASES='0.28.0 ...')"

run: venv
	@$(PY) -m batmon sim --days $(DAYS) --lcd $(LCD)

test: dev
	@sh host/testtools.sh
	@sh host/micropython32.sh
	@$(PY) -m pytest -n $(JOBS)

bench: dev
	@sh host/micropython32.sh
	@$(PY) -m bench

build: venv
	@$(PY) -m batmon build

lint: dev
	@$(PY) -m ruff check .

campaign: dev
	@sh host/micropython32.sh
	@sh host/homeassistant.sh
	@$(PY) -m pytest -n $(JOBS) -m campaign

drivers-check: dev
	@$(PY) tests/host/releases.py $(RELEASES)

venv:
	@sh host/venv.sh base

dev:
	@sh host/venv.sh dev

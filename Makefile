# Commands of contributors; each sets up .venv first (infra/environment.sh). CONTRIBUTING.md explains them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help fix check test test-all test-full coverage

ENVIRONMENT := source infra/environment.sh
TEST_WORKERS ?= 2
FAST := -m "not (cluster or servers or slow or gpu or full_size)"

help:
	@echo "make fix       mend what ruff can mend, and format"
	@echo "make check     ruff, mypy and the contract of imports"
	@echo "make test      the fast tests: no Ray, no server, at most a minute on two cores"
	@echo "make test-all  check, and all tests but those of test-full"
	@echo "make test-full published networks at full size against released figures: half an hour of a core"
	@echo "make coverage  which lines the fast tests reach"

fix:
	$(ENVIRONMENT) && ruff check --fix . && ruff format .

check:
	./infra/check.sh

test:
	$(ENVIRONMENT) && pytest --numprocesses $(TEST_WORKERS) --dist loadfile $(FAST) tests/unit

test-all:
	TEST_WORKERS=$(TEST_WORKERS) ./infra/test.sh

test-full:
	$(ENVIRONMENT) && pytest --numprocesses 0 -m full_size tests/unit

# A report: a figure below the floor of pyproject.toml is said and breaks nothing.
coverage:
	$(ENVIRONMENT) && coverage run -m pytest --numprocesses 0 $(FAST) tests/unit
	-$(ENVIRONMENT) && coverage report

# Every task of the project, each in the environment that it needs and no larger one.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

serving := .venv/bin/python
exporting := .venv-export/bin/python
training := .venv-training/bin/python
developing := .venv-dev/bin/python
# What pytest says if ARGS leave none of these tests.
or-none := || [ $$? -eq 5 ]
auditing := .venv-audit/bin
documenting := .venv-docs/bin/python

LOCK := serve
SBOM := cloze-$(LOCK).cdx.json

.PHONY: help serve serve-cuda japanese tracing export restore train bench bench-paired bench-costly bench-peers reliability plots info test test-all test-clients test-container check format docs site docs-serve lock audit sbom clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: .venv/.installed  ## start the server on port 8080; ARGS="--help" shows its options
	$(serving) -m server $(ARGS)

serve-cuda: .venv-cuda/.installed  ## the same with an NVIDIA GPU; see docs/gpu.md
	.venv-cuda/bin/python -m server $(ARGS)

japanese: .venv/.installed  ## add what Japanese models need to the serving environment
	@scripts/install.sh japanese .venv

tracing: .venv/.installed  ## add what traces of requests need to the serving environment
	@scripts/install.sh serve-otel .venv

export: .venv-export/.installed  ## checkpoint -> model folder; ARGS="CHECKPOINT models/NAME"
	$(exporting) -m export $(ARGS)

restore: .venv-export/.installed  ## model folder -> checkpoint; ARGS="models/NAME CHECKPOINT"
	$(exporting) -m export.restore $(ARGS)

train: .venv-training/.installed  ## text -> checkpoint; ARGS="pretrain --help" shows its options
	$(training) -m training $(ARGS)

bench: .venv/.installed  ## rates and latencies beside the bare session's; ARGS=--quick: 2 minutes
	$(serving) -m benchmarks $(ARGS)

bench-paired: .venv/.installed  ## this checkout beside another; ARGS="--against REVISION"
	$(serving) -m benchmarks.paired $(ARGS)

bench-costly: .venv/.installed  ## requests that ask for most in fewest bytes
	$(serving) -m scripts.costly $(ARGS)

bench-peers: .venv/.installed .venv-export/.installed  ## Cloze beside other servers of the same weights
	$(serving) -m benchmarks.peers $(ARGS)

reliability: .venv-dev/.installed  ## acceptance tests -> docs/reliability.md; ARGS=--short: minutes
	$(developing) -m scripts.reliability $(ARGS)

plots: .venv-dev/.installed  ## benchmark results -> the SVG plots of docs/performance.md
	$(developing) -m benchmarks.plots $(ARGS)

info: .venv/.installed  ## count and list what the serving install holds
	@$(serving) -m scripts.installed

test: .venv-dev/.installed .venv-docs/.installed  ## the test suite, without the slow and the container tests
	$(developing) -m pytest -n 2 --dist loadfile -m "not alone and not slow and not container" $(ARGS) $(or-none)
	$(developing) -m pytest -m "alone and not slow and not container" $(ARGS) $(or-none)

test-all: .venv-dev/.installed .venv-docs/.installed  ## the test suite with the slow tests
	$(developing) -m pytest -n 2 --dist loadfile -m "not alone and not container" $(ARGS) $(or-none)
	$(developing) -m pytest -m "alone and not container" $(ARGS) $(or-none)

test-clients: .venv-dev/.installed .venv-clients/.installed  ## other people's clients, in an environment of their own
	.venv-clients/bin/python -m pytest -W default tests/clients/heavy $(ARGS)

test-container: .venv-dev/.installed  ## build the image, start it, call it, stop it
	$(developing) -m pytest -m container tests/container $(ARGS)

check: .venv-dev/.installed site  ## format, lint, types, doctests and the site of docs/, as in CI
	$(developing) -m ruff format --check .
	$(developing) -m ruff check .
	$(developing) -m mypy
	$(developing) -m pytest -q --doctest-modules server export models training benchmarks scripts \
		--ignore-glob "*/peers/programs/*_*.py"  # which run in the peers' own environments

format: .venv-dev/.installed  ## put the source into its standard form
	$(developing) -m ruff format .
	$(developing) -m ruff check --fix .

docs: .venv-dev/.installed  ## write the pages that are generated from the source
	$(developing) -m scripts.pages

# A dead link, a dead anchor and a page that docs/index.md does not list are warnings, and so errors.
site: .venv-docs/.installed  ## docs/ -> site/, which needs no server and no network
	@rm -rf site  # what is there already is not looked at again
	$(documenting) -m sphinx --conf-dir docs --fail-on-warning --keep-going --quiet . site

docs-serve: site  ## the site on port 8000 of this machine; ARGS=9000 for another
	$(documenting) -m http.server --bind 127.0.0.1 --directory site $(or $(ARGS),8000)

lock: .venv-dev/.installed  ## pyproject.toml -> requirements/*.txt; ARGS=--upgrade for newer ones
	PATH="$(CURDIR)/.venv-dev/bin:$$PATH" scripts/lock.sh $(ARGS)

audit: .venv-audit/.installed  ## look for known vulnerabilities in the lock files; ARGS="--ignore-vuln ID"
	@PATH="$(CURDIR)/$(auditing):$$PATH" scripts/audit.sh $(ARGS)

# Dated as its commit, so that one commit has one SBOM. A lock does not say what needs what: no graph.
sbom: .venv-audit/.installed  ## requirements/serve.txt -> cloze-serve.cdx.json; LOCK=serve-cuda for GPUs
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(auditing)/python \
		-W ignore::UserWarning:cyclonedx.model.bom -m cyclonedx_py requirements \
		--pyproject pyproject.toml --sv 1.6 --of JSON --validate \
		--output-reproducible --output-file $(SBOM) requirements/$(LOCK).txt
	@echo "$(SBOM): CycloneDX 1.6"

clean:  ## remove the environments and caches
	rm -rf .venv .venv-cuda .venv-export .venv-audit .venv-docs .venv-clients .venv-training .venv-dev .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis site

.venv/.installed: requirements/serve.txt
	@scripts/install.sh serve .venv

.venv-cuda/.installed: requirements/serve-cuda.txt
	@scripts/install.sh serve-cuda .venv-cuda

.venv-export/.installed: requirements/export.txt
	@scripts/install.sh export .venv-export

.venv-audit/.installed: requirements/audit.txt
	@scripts/install.sh audit .venv-audit

.venv-docs/.installed: requirements/docs.txt
	@scripts/install.sh docs .venv-docs

.venv-clients/.installed: requirements/clients.txt
	@scripts/install.sh clients .venv-clients

.venv-training/.installed: requirements/training.txt requirements/torch-cpu.txt requirements/torch.txt
	@scripts/install.sh training .venv-training

.venv-dev/.installed: requirements/test.txt requirements/japanese.txt requirements/reviews.txt requirements/torch-cpu.txt requirements/torch.txt
	@scripts/install.sh test .venv-dev

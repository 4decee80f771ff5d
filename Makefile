# All tasks of the project. They need make and Python 3.11 or newer. The targets install everything
# else into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CHARNN := $(BIN)/charnn

# make CHARNN=charnn uses a charnn that is already installed. It installs nothing.
READY := $(if $(filter $(BIN)/%,$(CHARNN)),$(VENV)/run)

# A command that fails anywhere in a pipe fails its target.
SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c

CONFIG ?= configs/shakespeare.yaml
CKPT   ?= shakespeare.best.npz
N      ?= 500
LIMIT  ?= 8m

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: anew help train sample eval test lint bench choosing robust robust-quick memory cluster peers docs clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-zA-Z0-9%\/. -]+:.*## / { printf "make %-26s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

train: $(READY) data/shakespeare.txt ## train on Shakespeare's plays (minutes; repeat to go on), then print a sample
	$(CHARNN) train --config $(CONFIG) --resume --time-limit $(LIMIT)
	@echo
	@# A run that stops before its first validation has no best checkpoint.
	ckpt=$(CKPT); [ -e $$ckpt ] || ckpt=$${ckpt/.best/}; \
	  $(CHARNN) sample --ckpt $$ckpt --n $(N) --temperature 0.8
	@echo

sample: $(READY) ## print N characters from CKPT
	@$(CHARNN) sample --ckpt $(CKPT) --n $(N)

eval: $(READY) ## print the exact validation loss of CKPT
	@$(CHARNN) eval --ckpt $(CKPT)

# --- pipelines: plain shell to copy; set any variable on the command line ------------------------

TEXT     ?= data/shakespeare.txt
RUNS     ?= runs
SETTINGS ?= --config configs/quick.yaml
KEY      ?= model.hidden_size
VALUES   ?= 64 128 256
JOBS     ?= 1

.PHONY: stdin words score sweep table

stdin: $(READY) $(TEXT) | $(RUNS) ## train on TEXT from a pipe
	cat $(TEXT) | $(CHARNN) train $(SETTINGS) --data - --out $(RUNS)/stdin.npz --resume

# `head` would stop reading early, and `sort` would fail. `sed` reads to the end.
words: N = 20000
words: $(READY) ## print the most frequent words in N characters that CKPT writes
	$(CHARNN) sample --ckpt $(CKPT) --n $(N) \
	  | tr -s '[:space:][:punct:]' '\n' | sort | uniq -c | sort -rn | sed -n 1,20p

score: $(READY) $(TEXT) ## print bits/char of each text in TEXT under each model in CKPT
	@echo 'bits/char  skipped  text  model'
	@for text in $(TEXT); do for ckpt in $(CKPT); do \
	  scores=$$($(CHARNN) eval --ckpt "$$ckpt" --data "$$text" --unknown skip --json); \
	  printf '%s %s %s\n' "$$text" "$$ckpt" "$$scores"; \
	done; done | LC_ALL=C awk '$(GET) \
	  { printf "%9.3f  %7d  %s  %s\n", get($$0, "bits_per_char"), get($$0, "skipped"), $$1, $$2 }'

sweep: $(READY) $(TEXT) | $(RUNS) ## train with KEY at each of VALUES, JOBS at a time; then print the table
	echo '$(VALUES)' | tr -s ' ' '\n' | xargs -t -P $(JOBS) -I {} \
	  $(CHARNN) train $(SETTINGS) $(TEXT:%=--data '%') --set '$(KEY)={}' \
	  --out '$(RUNS)/$(KEY)={}.npz' --resume $(if $(filter-out 1,$(JOBS)),--threads 1 --quiet)
	@$(TABLE)

table: $(READY) ## print the runs in RUNS, lowest validation loss first, and means over seeds
	@$(TABLE)

# This awk function finds a number by its name in a line of JSON.
GET = function get(text, name) \
  { return substr(text, index(text, "\"" name "\": ") + length(name) + 4) + 0 }

# The awk script reads columns: the name of a run, the last line of its log, its loss on the test
# split if it has one, and what `info` prints of its best checkpoint. At the end, it prints a line for
# the runs that differ only in their seed.
define TABLE
echo 'val_loss  bits/char  test_loss  parameters  seconds  chars/s  run'; \
for best in $(RUNS)/*.best.npz; do \
  run=$${best%.best.npz}; held=$$($(CHARNN) info --ckpt "$$best" --json); tested=; \
  case $$held in *'"test_fraction": 0.0,'*'"test_path": null,'*) ;; \
    *) tested=$$($(CHARNN) eval --ckpt "$$best" --split test --json) || true;; esac; \
  printf '%s\t%s\t%s\t%s\n' "$${run##*/}" "$$(tail -n 1 "$$run.jsonl")" "$$tested" "$$held"; \
done | LC_ALL=C awk -F '\t' '$(GET) \
  function add(what, loss) { sum[what] += loss; \
    if (!n[what]++) low[what] = high[what] = loss; \
    if (loss < low[what]) low[what] = loss; if (loss > high[what]) high[what] = loss } \
  function all(what) { return sprintf("%.4f (%.4f to %.4f)", sum[what] / n[what], low[what], high[what]) } \
  { loss = get($$4, "best_val_loss"); seconds = get($$2, "seconds"); \
    printf "%8.4f  %9.4f  %9s  %10d  %7.1f  %7d  %s\n", loss, loss / log(2), \
      $$3 ? sprintf("%.4f", get($$3, "nats_per_char")) : "-", get($$4, "parameters"), seconds, \
      seconds ? get($$2, "characters") / seconds : 0, $$1 | "LC_ALL=C sort -n"; \
    like = substr($$4, index($$4, "\"config\": ")); gsub(/"(seed|checkpoint)": [^,}]*/, "", like); \
    if (!(like in name)) { name[like] = $$1; kinds[++count] = like } \
    add(like, loss); if ($$3) add(like "test", get($$3, "nats_per_char")) } \
  END { close("LC_ALL=C sort -n"); \
    for (k = 1; k <= count; k++) if (n[like = kinds[k]] > 1) \
      print n[like] " seeds of " name[like] ": mean " all(like) \
        (n[like "test"] == n[like] ? ", test " all(like "test") : "") }'
endef

$(RUNS):
	mkdir -p $@

# -------------------------------------------------------------------------------------------------

test: lint ## check style and types, and run all tests
	$(BIN)/python -m pytest -n auto

.PHONY: test-quick test-browser browser coverage

test-quick: $(VENV)/dev ## run the tests that need no MPI, terminal, campaign or crowd of processes (a minute)
	$(BIN)/python -m pytest -n auto -m "not mpi and not terminal and not campaign and not processes"

coverage: $(VENV)/dev ## run all tests, then print the share of lines and branches that they run
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-browser: browser $(VENV)/dev ## test the pages of report and export in a headless browser
	$(BIN)/python -m pytest -rP tests/whole/browser.py tests/whole/browser_live.py

browser:
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	  { echo "test-browser needs Chromium on the PATH; on Debian: apt-get install chromium" >&2; exit 1; }

.PHONY: crash fuzz

crash: $(VENV)/dev ## end, break, interrupt and kill runs at every point (a quarter of an hour)
	for campaign in every disk signals kill; do $(BIN)/python -m tests.campaigns.crash $$campaign; done
	$(BIN)/python -m tests.campaigns.crash kill 60 --workers

fuzz: $(VENV)/dev ## feed nonsense to all commands and readers (minutes; installs atheris, on Linux)
	$(BIN)/python -m tests.campaigns.fuzz checkpoints 25000
	$(BIN)/python -m tests.campaigns.fuzz commands 25000
	$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris
	$(BIN)/python -m tests.campaigns.fuzz guided 100000
	$(BIN)/python -m tests.campaigns.fuzz guided-import 50000

lint: $(VENV)/dev ## check style and strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/run ## measure speed; ONLY="step sampling" for parts; see benchmarks/README.md
	@$(BIN)/python -m benchmarks $(ONLY)

choosing: $(VENV)/run ## compare a run's own choices with eight configs, on twelve texts (two hours)
	@$(BIN)/python -m benchmarks.choosing

robust: $(VENV)/run ## train the recipes on up to twelve kinds of text, with several seeds (two hours)
	@$(BIN)/python -m benchmarks.robust

robust-quick: $(VENV)/run ## train one recipe on three texts (minutes)
	@$(BIN)/python -m benchmarks.robust --quick

memory: $(VENV)/dev ## measure and draw how far back each cell remembers (minutes)
	$(BIN)/python docs/memory.py

cluster: $(VENV)/dev ## measure training under MPI here, and predict it for other networks (minutes)
	@$(BIN)/python -m benchmarks.cluster

peers: $(VENV)/run ## install PyTorch and JAX (gigabytes), so that make bench can compare
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'

docs: $(VENV)/run ## regenerate docs/config.md, docs/commands.md and configs/schema.json
	$(BIN)/python docs/generate.py

data/shakespeare.txt: data/build.py | $(VENV)/run ## Shakespeare's plays, 4.8 MB of dialogue
	$(BIN)/python data/build.py shakespeare $@

data/tinyshakespeare.txt: data/build.py ## the field's benchmark file, 1.1 MB
	$(PYTHON) data/build.py tinyshakespeare $@

data/names.txt: data/build.py | $(VENV)/run ## 30,000 first names; NAMES=FILE uses makemore's file
	$(BIN)/python data/build.py names $@

data/text8.txt data/enwik8.txt: data/build.py ## extracts of Wikipedia, 100 MB; TEXT8=FILE or ENWIK8=FILE uses your file
	$(PYTHON) data/build.py $(basename $(@F)) $@

data/ptb.%.txt: data/build.py ## train, valid and test of the Penn Treebank, from the folder PTB=FOLDER
	$(PYTHON) data/build.py $(basename $(@F)) $@

data/recall.txt data/brackets.txt data/reber.txt: data/tasks.py $(if $(GAP),anew) ## texts of known entropy; GAP=40 sets recall's mean gap
	$(PYTHON) data/tasks.py $(basename $(@F)) $@ $(if $(GAP),--gap $(GAP))

clean: ## remove the environment and all caches, but no texts or runs
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "charnn needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# These empty files record what is installed in the environment.
$(VENV)/run: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/run

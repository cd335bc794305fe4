# `make notebooks` and `make test` set everything up by themselves.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: notebooks deeper beyond session slides real publish exercises test test-fast soak lint docs bench organism gates lock clean

notebooks: .venv/installed ## run all notebooks on the study named by HN_STUDY, and build the gallery
	@$(BIN)/python -m hn_utils notebooks

deeper: .venv/installed ## the notebooks in notebooks/deeper, one question each; they go on from the main line's results
	@$(BIN)/python -m hn_utils notebooks --deeper

beyond: .venv/installed ## the notebooks that ask what the paper leaves open; they go on from the main line's results
	@$(BIN)/python -m hn_utils notebooks --beyond

session: .venv/installed ## the notebook for ninety minutes with a class, from shipped answers (a minute)
	@$(BIN)/python -m hn_utils notebooks --session

slides: .venv/installed ## the session as slides, into runs/slides, from the committed notebook
	@$(BIN)/jupyter nbconvert --to slides --no-input --SlidesExporter.reveal_scroll=True --output-dir runs/slides notebooks/session90.ipynb

REAL = $(or $(HN_STUDY),qwen2.5-coder-1.5b)
real: .venv/installed ## fetch a real model (1.1 GB) and go through its shipped answers; HN_FRESH=1 collects them anew (hours)
	@$(BIN)/python -m hn_utils fetch --study "$(REAL)"
	@HN_STUDY="$(REAL)" $(BIN)/python -m hn_utils notebooks --real

publish: .venv/installed ## for maintainers: copy a finished run of the bundled study to notebooks/ and figures/, which git keeps
	@$(BIN)/python -m hn_utils publish

exercises: .venv/installed ## write the copies with gaps from the notebooks' sources; one that you have worked in is kept
	$(BIN)/python -m hn_utils.course.worksheets

test: .venv/installed ## all tests, in two processes of one thread each
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: .venv/installed ## the quick tests, for the daily loop (90 seconds at most on two cores)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

soak: .venv/installed ## kill a small study at 100 random points; then ask 50,000 questions (under an hour)
	OMP_NUM_THREADS=1 $(BIN)/python tests/killing.py --kills 100
	$(BIN)/python tests/many.py

lint: .venv/installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright && $(BIN)/lint-imports

docs: .venv/docs ## build the site into site/, offline; it fails at any broken link
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html; to search it, serve it: $(BIN)/python -m http.server --directory site"

# What builds the site is no part of the lock: nothing else needs it. What is locked stays as it is.
.venv/docs: .venv/installed pyproject.toml
	@$(BIN)/pip install --quiet --disable-pip-version-check -e ".[docs]" -c requirements.lock
	@touch $@

bench: .venv/installed ## speed and size, as ratios (about an hour on CPUs alone; needs 25 GB of free disk)
	TQDM_DISABLE=1 $(BIN)/python bench/bench.py

organism: .venv/installed ## train the bundled model again from nothing (some three hours on two cores, minutes on a GPU)
	$(BIN)/python -m hn_utils.organism train

gates: .venv/installed ## measure the bundled model and write data/organism/README.md
	$(BIN)/python -m hn_utils.organism gates

lock: ## resolve pyproject.toml anew into requirements.lock
	rm -rf .venv && $(PYTHON) -m venv .venv
	$(BIN)/pip install -e ".[notebooks,test]"
	$(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock
	touch .venv/installed

.venv/installed: requirements.lock pyproject.toml
	@echo "setting up .venv: PyTorch, Transformers, TransformerLens, Jupyter (once, a few minutes)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

clean:
	rm -rf data/cache

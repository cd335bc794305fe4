"""Shared stages: the shipped organism, a tiny one trained here, and a real pretrained model where it is at hand."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from hn_utils.models.hooked_model import HookedModel
from hn_utils.organism.tokenizer import make_tokenizer
from hn_utils.organism.train import Corpus, Recipe, train
from hn_utils.questions.made_up_world.world import make_world
from hn_utils.study import Sampling, Study, load_study

SLOWEST = ("test_organism", "test_notebooks", "test_steps", "test_killed", "test_execute", "test_models")
SLOW_FILES = {
    *SLOWEST,
    "test_analyses",
    "test_bench",
    "test_cluster",
    "test_door",
    "test_download",
    "test_emergence",
    "test_published_data",
    "test_sweep",
    "test_tuning",
}
SLOW_FIXTURES = {"subject", "stories", "tiny_study", "browser", "real_server"}  # a whole model, training, a page
SHARED = Path(__file__).resolve().parents[2] / "shared"
STORIES = SHARED / "weights" / "stories260K" / "hf"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files begin, so that two processes, which get a file at a time, end together. What is slow is marked
    so, which `make test-fast` leaves out."""
    places = {name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(SLOWEST)))
    for item in items:
        if item.path.stem in SLOW_FILES or SLOW_FIXTURES & set(item.fixturenames):  # type: ignore[attr-defined]
            item.add_marker("slow")


def shared(tmp_path_factory) -> Path:
    """The folder that all processes of this test session see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def clean_folders(tmp_path_factory) -> None:
    """Every test session starts from an empty cache, which its processes share, and its results lie in a folder of its
    own."""
    os.environ["HN_CACHE"] = str(shared(tmp_path_factory) / "cache")
    os.environ["HN_MODELS"] = str(shared(tmp_path_factory) / "models")
    os.environ["HN_RUNS"] = str(tmp_path_factory.mktemp("runs"))
    os.environ.pop("HN_STUDY", None)


@pytest.fixture(scope="session")
def study() -> Study:
    return load_study("organism")


@pytest.fixture(scope="session")
def subject(study) -> HookedModel:
    return HookedModel.load(study.instruct, study)


@pytest.fixture(scope="session")
def stories_folder() -> Path:
    if not STORIES.exists():
        pytest.skip("needs ../shared/weights/stories260K, which is not shipped")
    return STORIES


@pytest.fixture(scope="session")
def stories(stories_folder, study) -> HookedModel:
    return HookedModel.load(str(stories_folder), study)


@pytest.fixture(scope="session")
def tiny_study(tmp_path_factory) -> Study:
    """A second organism, trained here in a minute on a smaller world with another architecture: by the first of several
    test processes that needs it."""
    folder = shared(tmp_path_factory) / "tiny"
    recipe = Recipe(
        seed=3,
        d_model=64,
        d_mlp=160,
        n_layers=3,
        n_heads=2,
        base_steps=1_000,
        base_lr=4e-3,
        tune_steps=300,
        tune_lr=2e-3,
        batch_rows=16,
        replay_rows=8,
        checkpoints=(700,),
        warmup_share=0.0,
    )
    world = make_world(n_written=100, n_never_written=40, n_tuned=30, n_given=16, n_family=30)
    with FileLock(f"{folder}.lock"):
        if not (folder / "out" / "recipe.json").exists():  # written last
            train(folder / "out", folder / "work", Corpus(world, make_tokenizer(world), recipe))
    names = {"instruct": "instruct", "base": "base"}
    return replace(
        load_study("organism"),
        name="tiny",
        **{k: str(folder / "out" / v) for k, v in names.items()},
        checkpoints=(str(folder / "out" / "checkpoints" / "step-0700"),),
        n_control_sets=3,
        sampling=Sampling(n=3, top_p=0.3, max_new_tokens=4),  # so small a model is seldom of one mind at top-p 0.9
    )


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])

"""Studies that are known by a name: the bundled models, and the pairs of the paper and of laptops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hn_utils.storage.paths import DATA
from hn_utils.study.naming import FETCHED
from hn_utils.study.settings import Sampling, Study

ORGANISM = DATA / "organism"
PUBLISHED = ("triviaqa", "nq_open", "bioasq", "nonexist", "faitheval", "sycophancy", "xstest")
# Questions of kinds that no bundled set asks, with short answers of several sorts: a name, a number, a thing, a year.
SHORT_EXAMPLES = (
    ("Which planet is nearest to the Sun?", "Mercury"),
    ("Which scientist found the law of gravitation?", "Isaac Newton"),
    ("In which year did the Second World War end?", "1945"),
    ("Which ocean lies between Africa and Australia?", "Indian Ocean"),
    ("How many strings does a violin have?", "Four"),
    ("What is the hardest natural mineral?", "Diamond"),
    ("In which month is Christmas?", "December"),
    ("Which mountain is the highest on Earth?", "Mount Everest"),
    ("Which bird lays the largest eggs?", "Ostrich"),
    ("Which gas do plants take from the air?", "Carbon dioxide"),
)
_OLMO = "allenai/OLMo-2-0425-1B"


def pair(name: str, instruct: str, base: str, **settings: Any) -> Study:
    """Study a real model on the published sets, with the paper's prompt and sampling.

    Args:
        name: what the study is called.
        instruct: the instruct model, as in `Study`.
        base: the model that it was tuned from, or an empty text.
        **settings: other settings of `Study`.

    Returns:
        The study, with 5,000 questions of each part at most.

    Raises:
        ValueError: a setting is unknown or of no use.
    """
    models = {"instruct": instruct, "base": base}
    return Study(name=name, **models, questions="published", sets=PUBLISHED, n_questions=5_000, **settings)


REAL = (
    # the paper's six
    pair("mistral-7b", "mistralai/Mistral-7B-Instruct-v0.3", "mistralai/Mistral-7B-v0.3"),
    pair(
        "mistral-24b",
        "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
        "mistralai/Mistral-Small-3.1-24B-Base-2503",
        device="several",
    ),
    pair("gemma-3-4b", "google/gemma-3-4b-it", "google/gemma-3-4b-pt"),
    pair("gemma-3-27b", "google/gemma-3-27b-it", "google/gemma-3-27b-pt", device="several"),
    pair("llama-3.1-8b", "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B"),
    pair("llama-3.3-70b", "meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.1-70B", device="several"),
    # for a laptop or a small GPU
    pair("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M", dtype="float32"),
    pair("smollm2-360m", "HuggingFaceTB/SmolLM2-360M-Instruct", "HuggingFaceTB/SmolLM2-360M", dtype="float32"),
    pair("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-0.5B", dtype="float32"),
    pair("qwen3-0.6b", "Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B-Base", dtype="float32"),
    pair("gemma-3-1b", "google/gemma-3-1b-it", "google/gemma-3-1b-pt", dtype="float32"),
    pair("llama-3.2-1b", "meta-llama/Llama-3.2-1B-Instruct", "meta-llama/Llama-3.2-1B", dtype="float32"),
    pair(  # its pre-training checkpoints are public, as branches: two of them here
        "olmo-2-1b",
        f"{_OLMO}-Instruct",
        _OLMO,
        dtype="float32",  # TransformerLens 4.3 mixes dtypes in its attention otherwise
        checkpoints=(f"{_OLMO}@stage1-step10000-tokens21B", f"{_OLMO}@stage1-step140000-tokens294B"),
    ),
)


def _fetched(name: str, fetched: str, **settings: Any) -> Study:
    """Study a model that is fetched as a GGUF file, on questions about the real world, by the paper's prompt and draws.
    Its base model is none that can be fetched."""
    return Study(
        name=name,
        seed=1,
        instruct=f"{FETCHED}{fetched}",
        base="",
        dtype="bfloat16",  # so that shipped answers are of the very model
        batch_rows=1_280,  # the smaller a batch, the more of the time goes into reading weights
        questions="real_world",
        n_questions=6_000,
        sampling=Sampling(max_new_tokens=30),
        chat_stop="\n",
        n_items=40,
        **settings,
    )


WITHOUT_A_HUB = (
    _fetched("qwen2.5-coder-1.5b", "qwen2.5-coder-1.5b"),
    _fetched("qwen2.5-coder-0.5b", "qwen2.5-coder-0.5b"),
    # a base model, and asked as one, which examples show what an answer is
    _fetched("gemma-3-270m-base", "gemma-3-270m-base", examples=SHORT_EXAMPLES[:5]),
    _fetched("smollm2-135m-q4", "smollm2-135m"),  # smollm2-135m is the unquantised pair on the hub
)
BUNDLED = Study(
    name="organism",
    instruct=str(ORGANISM / "instruct"),
    base=str(ORGANISM / "base"),
    checkpoints=tuple(map(str, sorted((ORGANISM / "checkpoints").glob("step-*")))),  # a wheel holds none
    questions="organism",
    sampling=Sampling(max_new_tokens=4),
    chat_prompt="Answer only: {question}",
    base_stop=".",
    device="cpu",  # so small a model gains nothing from a GPU, and every machine gives nearly the same numbers
    dtype="float32",
    batch_rows=1_280,
)
# A third of the minutes.
_QUICK = replace(BUNDLED, name="organism-quick", n_control_sets=4, n_questions=1_200, n_items=40)


def planted_study(folder: Path) -> Study:
    """Study a planted model as the bundled one is.

    Args:
        folder: where the planted model lies, under `instruct`.

    Returns:
        The study. Its base is the natural model's, in which nothing is planted.
    """
    return replace(BUNDLED, name=folder.name, instruct=str(folder / "instruct"), checkpoints=())


PLANTED = tuple(planted_study(DATA / name) for name in ("planted", "planted-general"))


def _smoke(study: Study) -> Study:
    """A real model's study, small enough for half an hour on a GPU, to see that everything runs: too little for any
    verdict. No revision is pinned: give your own as `name@revision`."""
    few = {"n_questions": 200, "n_items": 10, "n_control_sets": 4, "alphas": (0.0, 1.0, 3.0)}
    return replace(study, name=f"{study.name}-smoke", sets=("triviaqa", "faitheval", "xstest"), checkpoints=(), **few)


SMOKE = tuple(_smoke(study) for study in REAL if study.name in ("gemma-3-4b", "qwen2.5-0.5b"))
PRESETS = {study.name: study for study in (BUNDLED, _QUICK, *PLANTED, *WITHOUT_A_HUB, *REAL, *SMOKE)}

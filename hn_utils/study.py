"""What is studied, on which model: one frozen record of everything that can change a result."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data"
ORGANISM = DATA / "organism"
ORGANISM_STEPS = (200, 400, 700, 1000, 1400, 1900)


@dataclass(frozen=True)
class Sampling:
    """How responses are drawn; the defaults are the paper's. `temperature=0` means greedy."""

    n: int = 10
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 0.9
    max_new_tokens: int = 50


@dataclass(frozen=True)
class Study:
    """A model pair, a question set and all settings.

    `instruct`, `base` and `checkpoints` are Hugging Face names or local folders. `questions` names an entry of
    `hn_utils.questions.QUESTION_SETS`. `chat_prompt` is what the user says to the instruct model,
    `base_prompt` and `base_stop` are how a base model is asked and where its answer ends. `n_grid` is the number of C
    on the probe's path, `alphas` the doses of an intervention, `n_random_sets` how many random sets of neurons get them
    too, `batch_rows` how many rows a capturing forward pass holds.
    """

    name: str
    instruct: str
    base: str
    questions: str
    checkpoints: tuple[str, ...] = ()
    revision: str | None = None
    base_revision: str | None = None
    n_questions: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    chat_prompt: str = "{question} Respond with the answer only, without any explanation."
    base_prompt: str = "Question: {question}\nAnswer:"
    base_stop: str = "\n"
    n_grid: int = 20
    alphas: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    n_random_sets: int = 20
    seed: int = 0
    device: str = "cpu"
    dtype: str = "float32"
    batch_rows: int = 256


PRESETS = {
    "organism": Study(
        name="organism",
        instruct=str(ORGANISM / "instruct"),
        base=str(ORGANISM / "base"),
        checkpoints=tuple(str(ORGANISM / "checkpoints" / f"step-{step:04d}") for step in ORGANISM_STEPS),
        questions="organism",
        sampling=Sampling(max_new_tokens=4),
        chat_prompt="Answer only: {question}",
        base_stop=".",
    ),
}


def load_study(name: str | None = None, **changes: object) -> Study:
    """The preset called `name`, else the one named by the environment variable HN_STUDY, else the organism.

    `changes` replace single settings, e.g. `load_study("organism", seed=1)`.
    Raises ValueError for an unknown name or setting.
    """
    name = name or os.environ.get("HN_STUDY", "organism")
    if name not in PRESETS:
        raise ValueError(f"unknown study {name!r}: choose one of {', '.join(sorted(PRESETS))}")
    try:
        return replace(PRESETS[name], **changes)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"a study has no such setting: {error}") from error

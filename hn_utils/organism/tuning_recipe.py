"""How a real base model is tuned into one that answers in chat: everything that is fixed beforehand, with its reason,
and the study of the result."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from hn_utils.organism.train import SHIPPED_SEED
from hn_utils.study import FETCHED, Sampling, Study
from hn_utils.study.presets import SHORT_EXAMPLES

INSTRUCT, CHECKPOINTS = "instruct", "checkpoints"  # folders of the models that tuning writes
_RECIPE = "recipe.json"  # is written last
_N_EXAMPLES = 5
# The examples stand in the base model's prompt alone: the tuned model is to know without them how to answer.
_BASE_PROMPT = (
    "".join(f"Question: {question}\nAnswer: {answer}\n" for question, answer in SHORT_EXAMPLES[:_N_EXAMPLES])
    + "Question: {question}\nAnswer:"
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the tuned weights, apart from the bundled facts and the base model's own weights.

    Attributes:
        base: the base model, as `Study.base` names it.
        seed: of all that is drawn for the tuning, and of the order of batches.
        questions_seed: of the split into training, validation and test questions. The study of the tuned model has the
            same, or it would test on what tuning has taught.
        tuned_share: share of the training entities that chats are about. The rest is as unread as the test entities
            are, so that a probe has training answers that tuning has not touched.
        draws: draws to each question that tell whether the base model knows a fact, beside its likeliest answer.
        right_draws: so many of them must be right: most, since one right draw in four may well be a guess.
        refusals: chats that decline, for each that answers: as many, so that neither is the better bet.
        invented_share: share of the refusals that are about things that do not exist; the rest is about real things,
            or declining would be learnt as a reaction to odd names.
        alike_share: share of the other refusals that take the kinds of fact of the answered questions, one for one, so
            that the kind of question alone does not tell whether to decline; the rest is of any kind.
        texts_share: share of all rows that the base model writes itself. On them it is the best model there is, so that
            they hold it where it is. The bundled paragraphs stay unread: damage is measured on them.
        text_tokens: tokens of such a text at most.
        epochs: times that each chat is read: once teaches so small a model little, many times make it learn by heart.
        batch_rows: chats in a step.
        learning_rate: the highest; customary for models of this size.
        warmup_share: share of the steps in which it rises.
        clip: length to which a gradient is cut.
        checkpoints: shares of all steps after which the model is kept, most of them early, where most is learnt.
        save_steps: steps after which what a resume needs is written, at least.
    """

    base: str = f"{FETCHED}gemma-3-270m-base"
    seed: int = SHIPPED_SEED
    questions_seed: int = 0
    tuned_share: float = 0.5
    draws: int = 4
    right_draws: int = 3
    refusals: float = 1.0
    invented_share: float = 1 / 3
    alike_share: float = 0.5
    texts_share: float = 0.15
    text_tokens: int = 48
    epochs: int = 3
    batch_rows: int = 16
    learning_rate: float = 5e-5
    warmup_share: float = 0.06
    clip: float = 1.0
    checkpoints: tuple[float, ...] = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
    save_steps: int = 50

    def checkpoint_steps(self, steps: int) -> list[int]:
        """The steps of `steps` after which the model is kept; the last is not among them."""
        return sorted({max(1, round(share * steps)) for share in self.checkpoints} - {steps})

    def warmup_steps(self, steps: int) -> int:
        return max(1, round(self.warmup_share * steps))


def write_recipe(folder: Path, recipe: Recipe) -> None:
    (folder / _RECIPE).write_text(json.dumps(asdict(recipe), indent=1) + "\n")


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a tuned model. Raises OSError if the folder holds none, as before its tuning has ended."""
    file = folder / _RECIPE
    if not file.exists():
        raise OSError(f"{file} is missing: `python -m hn_utils.organism tune --out {folder}` ends with it")
    settings = json.loads(file.read_text())
    return Recipe(**{**settings, "checkpoints": tuple(settings["checkpoints"])})


def is_tuned(folder: Path, recipe: Recipe) -> bool:
    """Does the folder hold a whole model of this recipe? Raises ValueError if it holds one of another recipe."""
    if not (folder / _RECIPE).exists():
        return False
    made_by, wanted = asdict(read_recipe(folder)), asdict(recipe)
    if differing := [name for name in wanted if made_by[name] != wanted[name]]:
        raise ValueError(f"{folder} was tuned with another {', '.join(differing)}: give another --out")
    return True


def tuned_study(folder: Path, recipe: Recipe | None = None) -> Study:
    """The study of a tuned model beside its base.

    Args:
        folder: that `tune` writes.
        recipe: of the tuning; None for the one that the folder holds.

    Returns:
        The study. The base model is asked behind five examples; the tuned one is asked the bare question, and its
        answer ends at a line break as well, since early checkpoints do not end their turns. It names no checkpoints: a
        study's are asked as base models are (see `timeline_of_tuning`).

    Raises:
        OSError: the folder holds no recipe.
    """
    recipe = recipe or read_recipe(folder)
    return Study(
        name=folder.absolute().name,
        seed=recipe.questions_seed,
        instruct=str(folder / INSTRUCT),
        base=recipe.base,
        questions="real_world",
        sampling=Sampling(max_new_tokens=16),
        chat_prompt="{question}",
        chat_stop="\n",
        base_prompt=_BASE_PROMPT,
        dtype="bfloat16",
        batch_rows=320,
    )

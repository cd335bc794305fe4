"""What is studied, on which model: one frozen record of everything that can change a result, in groups."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from hn_utils.storage.paths import expanded
from hn_utils.study.addresses import address_of
from hn_utils.study.own_files import FORMATS, checked_file, is_file
from hn_utils.study.records import strict_record

JUDGED_SETS = ("falseqa", "forbidden")  # published sets whose replies only a chat model can judge
_CONTROL_ALPHAS = {0.0, 1.0, 3.0}
_NOT_OPTIONS = ("model", "messages", "n", "stream")  # of a request to the judge


def check_name(name: str) -> str:
    """Check that a folder can be called so.

    Args:
        name: the name of a study or a sweep, after which the folder of its results is called.

    Returns:
        The name.

    Raises:
        ValueError: it is no plain file name.
    """
    if not re.fullmatch(r"\w[\w. -]*", name):
        raise ValueError(f"name={name!r} must be a plain file name: results lie in a folder of that name")
    return name


@strict_record
class Sampling:
    """How responses are drawn; the defaults are the paper's."""

    n: int = Field(default=10, ge=1, description="Responses to each question.")
    temperature: float = Field(default=1.0, ge=0, le=100, description="What the logits are divided by; 0 is greedy.")
    top_k: int = Field(default=50, ge=0, description="Only so many likeliest tokens can be drawn; 0 keeps all.")
    top_p: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Only the likeliest tokens that together have this probability can be drawn; 1 keeps all.",
    )
    max_new_tokens: int = Field(default=50, ge=1, description="Tokens after which a response is cut.")


@strict_record
class GeneralSettings:
    """What the study is called, and its random numbers."""

    name: str = Field(description="Name of the study and of the folder of its results.")
    seed: int = Field(default=0, ge=0, description="Seed of all that is drawn at random.")

    _plain_name = field_validator("name")(check_name)


@strict_record
class ModelSettings:
    """Which models are compared, and how they are loaded."""

    instruct: str = Field(
        description="The instruct model: a hub name (`name@revision` for a branch), a folder or a GGUF file."
    )
    base: str = Field(description="The model that it was tuned from, likewise; empty if nothing is looked for there.")
    checkpoints: tuple[str, ...] = Field(default=(), description="Checkpoints of the base model's training, likewise.")
    device: str = Field(
        default="auto", description="A torch device, `auto` for the best there is, or `several` to spread the model."
    )
    dtype: str = Field(
        default="bfloat16",
        description="The torch dtype of the weights; `auto` for bfloat16 where a short measurement says that it is "
        "clearly faster here, else float32.",
    )
    bits: int | None = Field(default=None, description="8 or 4 quantises the weights to so many bits.")
    batch_rows: int = Field(default=64, ge=1, description="Rows that a forward pass or a generation holds at most.")

    _home = field_validator("instruct", "base")(expanded)

    @field_validator("checkpoints")
    @classmethod
    def _homes(cls, checkpoints: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(expanded(where) for where in checkpoints)

    @property
    def precision(self) -> str:
        """What the model's numbers are: another precision is another model, and may give other neurons."""
        return self.dtype if self.bits is None else f"{self.bits} bits ({self.dtype})"


@strict_record
class QuestionSettings:
    """What is asked."""

    questions: str = Field(
        description="`organism`, `real_world`, `published`, or a file of your own (.jsonl, .json, .csv, .tsv or "
        ".parquet) with the rows of `questions.question.own_questions`."
    )
    sets: tuple[str, ...] = Field(
        default=(),
        description='With `questions="published"`: sets of `questions.published`, the one to learn from first. With '
        '`questions="real_world"`: sets that are asked beside it.',
    )
    sources: Mapping[str, str] = Field(
        default_factory=dict,
        description="By set, where it is if not at its public home: a file, or a hub `name@revision`.",
    )
    n_questions: int | None = Field(default=None, ge=1, description="Questions of each part at most.")
    hold_out_answers: bool = Field(
        default=False,
        description="Whether no test question has an answer that a training question has, whatever they ask about; of "
        "each answer that both have, the questions of one side are left out.",
    )

    @field_validator("questions")
    @classmethod
    def _existing_questions(cls, questions: str) -> str:
        return checked_file("questions", questions)

    @field_validator("sources")
    @classmethod
    def _existing_sources(cls, sources: Mapping[str, str]) -> dict[str, str]:
        found = {name: expanded(where) for name, where in sources.items()}
        for name, where in found.items():
            if is_file(where) and not Path(where).exists():
                raise ValueError(f"sources[{name!r}]={where!r} does not exist: give a file, or a hub name")
        return found


@strict_record
class SamplingSettings:
    """How models are asked, and how their answers are drawn."""

    sampling: Sampling = Field(default_factory=Sampling, description="How responses are drawn: a record of its own.")
    chat_prompt: str = Field(
        default="{question} Respond with the answer only, without any explanation.",
        description="What the user says to the instruct model.",
    )
    base_prompt: str = Field(default="Question: {question}\nAnswer:", description="How a base model is asked.")
    base_stop: str = Field(default="\n", description="The text at which a base model's answer ends.")
    chat_stop: str = Field(
        default="",
        description="A text at which the instruct model's answer to a question ends as well, such as a line break "
        "where only an answer is asked for; empty if its own end of turn alone ends it.",
    )
    examples: tuple[tuple[str, str], ...] = Field(
        default=(),
        description="Questions with their answers that stand before every question and attempt: earlier turns of the "
        "chat, or text before a base model's question.",
    )
    served_at: str | None = Field(
        default=None,
        description="An OpenAI-compatible server that draws the instruct model's responses, under the model's own "
        "name. The model itself is still loaded to be read, and the server checked to run it.",
    )

    @field_validator("chat_prompt", "base_prompt")
    @classmethod
    def _asks_the_question(cls, prompt: str, info: ValidationInfo) -> str:
        try:
            asked = prompt.format(question="[a question]")
        except (ValueError, LookupError, AttributeError):
            asked = ""
        if "[a question]" not in asked:
            raise ValueError(
                f"{info.field_name}={prompt!r} must hold {{question}}, and no other brace unless it is doubled"
            )
        return prompt

    @field_validator("base_stop")
    @classmethod
    def _stops_somewhere(cls, text: str) -> str:
        if not text:
            raise ValueError("base_stop='' would end every answer before it begins: name a text that ends one")
        return text

    @field_validator("examples", mode="before")
    @classmethod
    def _pairs(cls, examples: Any) -> tuple[tuple[str, str], ...]:
        if not isinstance(examples, list | tuple):
            raise ValueError(f"examples={examples!r} must be pairs of a question and its answer")
        for place, pair in enumerate(examples):
            if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(_is_said(text) for text in pair):
                raise ValueError(f"examples[{place}]={pair!r} must be a question and its answer, two texts")
        return tuple((question, answer) for question, answer in examples)

    @field_validator("served_at")
    @classmethod
    def _serves_at_an_address(cls, url: str | None) -> str | None:
        return _checked_address("served_at", url)


@strict_record
class ProbeSettings:
    """How the probe is fitted that picks the H-Neurons."""

    n_grid: int = Field(default=20, ge=2, description="Values of C, the inverse strength of L1, on the probe's path.")


@strict_record
class SteeringSettings:
    """How neurons are turned up and down, on what, and beside how many controls."""

    alphas: tuple[float, ...] = Field(
        default=(0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0),
        description="Doses: what activations are multiplied by. 0 ablates, 1 changes nothing; 0, 1 and 3 are needed.",
    )
    n_control_sets: int = Field(
        default=199,
        ge=1,
        description="Control sets of neurons of either kind that get the doses too, at most (a null is settled by some "
        "twenty).",
    )
    n_graded_sets: int = Field(
        default=20, ge=1, description="How many of those that shuffled labels pick get the log-odds too, at most."
    )
    items: str = Field(
        default="",
        description="A file of your own attempts to talk the model into something, with the rows of "
        "`questions.items.own_items`, in place of those of the question set.",
    )
    n_items: int = Field(default=80, ge=1, description="Attempts of each kind to talk the model into something.")

    @field_validator("alphas")
    @classmethod
    def _can_be_doses(cls, alphas: tuple[float, ...]) -> tuple[float, ...]:
        missing = _CONTROL_ALPHAS - set(alphas)
        if missing:
            raise ValueError(f"alphas={alphas} must include {sorted(missing)}, at which the controls are run")
        if not all(0 <= alpha < math.inf for alpha in alphas):
            raise ValueError(f"alphas={alphas} must be finite and not negative: 0 ablates, 1 changes nothing")
        return alphas

    @field_validator("items")
    @classmethod
    def _existing_items(cls, items: str) -> str:
        if items and not is_file(items):
            raise ValueError(f"items={items!r} must be a file that ends in {', '.join(sorted(FORMATS))}")
        return checked_file("items", items)


@strict_record
class JudgeSettings:
    """Who judges answers, if not the alias rule."""

    judge: str = Field(default="", description="A chat model that judges answers instead of the alias rule.")
    judge_url: str | None = Field(
        default=None, description="The OpenAI-compatible server of the judge; OPENAI_BASE_URL or OpenAI's if None."
    )
    judge_price: tuple[float, float] | None = Field(
        default=None, description="Dollars for a million tokens that the judge reads, and that it writes."
    )
    judge_spans: bool = Field(
        default=False,
        description="Whether the judge marks where the answer stands in a longer response. Without it the whole "
        "response is read, or its first sentence if the model says more than a few tokens.",
    )
    judge_options: Mapping[str, Any] = Field(
        default_factory=dict,
        description="Parameters laid over each request to the judge; None takes one out, as in "
        '`{"max_tokens": None, "max_completion_tokens": 2000, "temperature": 1}`.',
    )

    @field_validator("judge_url")
    @classmethod
    def _judges_at_an_address(cls, url: str | None) -> str | None:
        return _checked_address("judge_url", url)

    @field_validator("judge_options")
    @classmethod
    def _can_be_sent(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:
        fixed = [name for name in _NOT_OPTIONS if name in options]
        if fixed:
            raise ValueError(
                f"judge_options may not hold {fixed[0]!r}: it is set by the study, or each reply is read alone"
            )
        try:
            json.dumps(options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"judge_options={options!r} must hold what JSON can hold ({error})") from None
        return options


# The settings of the last base come first.
@strict_record
class Study(
    JudgeSettings,
    SteeringSettings,
    ProbeSettings,
    SamplingSettings,
    QuestionSettings,
    ModelSettings,
    GeneralSettings,
):
    """A model pair, a question set and all settings; `hn_utils.study.settings_table()` prints them by group.

    In paths `~` is your home folder. Making one raises ValueError, before any work, for settings that are unknown, of
    another type, of no use, or cannot work together.
    """

    @model_validator(mode="after")
    def _has_its_judge(self) -> Self:
        needing = [name for name in self.sets if name in JUDGED_SETS] + ["judge_spans"] * self.judge_spans
        if needing and not self.judge:
            raise ValueError(f"{', '.join(needing)} needs a chat model: set judge to one, or leave it out")
        return self


def _is_said(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _checked_address(setting: str, url: str | None) -> str | None:
    """The address as it was given. Raises ValueError that names the setting if it is none."""
    try:
        if url is not None:
            address_of(url)
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from None  # the address may hold a password
    return url


def changed(study: Study, **settings: Any) -> Study:
    """Change some settings of a study.

    Args:
        study: the study, which stays as it is.
        **settings: settings of `Study`; those of its sampling as a whole, or one by one in a dict.

    Returns:
        Another study.

    Raises:
        ValueError: a setting is unknown, of another type or of no use.
    """
    if isinstance(given := settings.get("sampling"), Mapping):
        settings["sampling"] = replace(study.sampling, **given)
    return replace(study, **settings)

"""What is studied, on which model: one frozen record of everything that can change a result."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from hn_utils.answers.server import address_of
from hn_utils.own_json import parsed
from hn_utils.storage.paths import DATA, beside, expanded, set_to

ORGANISM = DATA / "organism"
ORGANISM_STEPS = (1200, 3000, 5400, 8400)
OWN_FILES = ("questions", "items")  # settings that may name a file of the user's own rows
ANY_MODEL = re.compile(r"base|pt|instruct|chat|it|sft|dpo|model|hf|final|best|latest|merged|checkpoint(-\d+)?", re.I)
FORMATS = {".parquet", ".jsonl", ".json", ".csv", ".tsv"}  # of files with questions


@dataclass(frozen=True)
class Sampling:
    """How responses are drawn; the defaults are the paper's. `temperature=0` means greedy."""

    n: int = 10
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 0.9
    max_new_tokens: int = 50

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, n=(1, np.inf), temperature=(0, 100), top_k=(0, np.inf), max_new_tokens=(1, np.inf))
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p} must be above 0 and at most 1, which leaves every token")


@dataclass(frozen=True)
class Study:
    """A model pair, a question set and all settings.

    `instruct`, `base` and `checkpoints` are Hugging Face names (`name@revision` for a branch) or local folders; `base`
    may be empty, if nothing is to be looked for there.
    `questions` names an entry of `questions.question_sets.QUESTION_SETS`, or a file of your own (.jsonl, .json, .csv,
    .tsv or .parquet) with the rows of `questions.question.own_questions`; `items` may be such a file of attempts to
    talk the model into something, with the rows of `questions.items.own_items`, in place of those of the question set.
    `chat_prompt` is what the user says to the instruct model, `base_prompt` and `base_stop` are how a base model is
    asked and where its answer ends. `n_grid` is the number of C on the probe's path, `alphas` the doses of an
    intervention, `n_control_sets` how many control sets of neurons of either kind get them too, at most (a null is
    settled by some twenty), `n_graded_sets` how many of those that shuffled labels pick get the log-odds too, `n_items`
    how many attempts of each kind to talk the model into something. `batch_rows` is how many rows a forward pass or a
    generation holds at most.
    `device` is a torch device, `auto` for the best there is, or `several` to spread the model; `bits` 8 or 4 quantises
    it.

    For `questions="published"`, `sets` names the sets of `questions.published`, the one to learn from first, and
    `sources` says where a set is if not at its public home: a file, or a hub name@revision. `n_questions` limits each
    part. With `hold_out_answers` no test question has an answer that a training question has, whatever they ask about;
    of each answer that both have, the questions of one side are left out. In paths `~` is your home folder.

    `judge` names a chat model (at `judge_url`, an OpenAI-compatible server; `judge_price` is dollars per million tokens
    read and written) that judges answers instead of the alias rule and, with `judge_spans`, marks where the answer
    stands in a longer response; without it the whole response is read, or its first sentence if the model says more
    than a few tokens. `judge_options` are laid over each request to it, where None takes a parameter out, such as
    `{"max_tokens": None, "max_completion_tokens": 2000, "temperature": 1}`. `served_at` is an OpenAI-compatible server
    that draws the responses of the instruct model under its own name; the model itself is still loaded to be read, and
    the server checked to run it.
    """

    name: str
    instruct: str
    base: str
    questions: str
    checkpoints: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    items: str = ""
    n_questions: int | None = None
    hold_out_answers: bool = False
    judge: str = ""
    judge_url: str | None = None
    judge_price: tuple[float, float] | None = None
    judge_spans: bool = False
    judge_options: Mapping[str, Any] = field(default_factory=dict)
    served_at: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    chat_prompt: str = "{question} Respond with the answer only, without any explanation."
    base_prompt: str = "Question: {question}\nAnswer:"
    base_stop: str = "\n"
    n_grid: int = 20
    alphas: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    n_control_sets: int = 199
    n_graded_sets: int = 20
    n_items: int = 80
    seed: int = 0
    device: str = "auto"
    dtype: str = "bfloat16"
    bits: int | None = None
    batch_rows: int = 64

    def __post_init__(self) -> None:
        """Raises ValueError for settings that are of no use, or cannot work together, before any work."""
        check_types(self)
        expand_paths(self)
        check_options(self.judge_options)
        check_range(self, n_questions=(1, np.inf), n_grid=(2, np.inf), n_control_sets=(1, np.inf), n_items=(1, np.inf))
        check_range(self, n_graded_sets=(1, np.inf))
        check_range(self, batch_rows=(1, np.inf), seed=(0, np.inf))
        check_name(self.name)
        missing = {0.0, 1.0, 3.0} - set(self.alphas)
        if missing:
            raise ValueError(f"alphas={self.alphas} must include {sorted(missing)}, at which the controls are run")
        if not all(0 <= alpha < np.inf for alpha in self.alphas):
            raise ValueError(f"alphas={self.alphas} must be finite and not negative: 0 ablates, 1 changes nothing")
        for name in ("chat_prompt", "base_prompt"):
            check_prompt(name, getattr(self, name))
        if not self.base_stop:
            raise ValueError("base_stop='' would end every answer before it begins: name a text that ends one")
        for name in ("judge_url", "served_at"):
            if (url := getattr(self, name)) is not None:
                check_address(name, url)
        needing = [s for s in self.sets if s in JUDGED_SETS] + ["judge_spans"] * self.judge_spans
        if needing and not self.judge:
            raise ValueError(f"{', '.join(needing)} needs a chat model: set judge to one, or leave it out")
        check_files(self)

    @property
    def precision(self) -> str:
        """What the model's numbers are: another precision is another model, and may give other neurons."""
        return self.dtype if self.bits is None else f"{self.bits} bits ({self.dtype})"


def expand_paths(study: Study) -> None:
    """Read `~` in the settings that may be paths as the user's home folder."""
    for name in ("instruct", "base", *OWN_FILES):
        object.__setattr__(study, name, expanded(getattr(study, name)))
    object.__setattr__(study, "checkpoints", tuple(map(expanded, study.checkpoints)))
    object.__setattr__(study, "sources", {name: expanded(where) for name, where in study.sources.items()})


def check_options(options: Mapping[str, Any]) -> None:
    """Raises ValueError for a parameter of a request that is not for the user to set, or that no request can hold."""
    if fixed := [name for name in ("model", "messages", "n", "stream") if name in options]:
        raise ValueError(
            f"judge_options may not hold {fixed[0]!r}: it is set by the study, or each reply is read alone"
        )
    try:
        json.dumps(options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"judge_options={options!r} must hold what JSON can hold ({error})") from None


def check_name(name: str) -> None:
    """Raises ValueError if a folder cannot be called so."""
    if not re.fullmatch(r"\w[\w. -]*", name):
        raise ValueError(f"name={name!r} must be a plain file name: results lie in a folder of that name")


def check_range(record: Any, **bounds: tuple[float, float]) -> None:
    """Raises ValueError that names the first of some fields which lies outside its bounds, or is no number; None, where
    a field may be that, lies inside."""
    for name, (low, high) in bounds.items():
        value = getattr(record, name)
        if value is not None and not low <= value <= high:
            most = f" and at most {high}" * (high < np.inf)
            raise ValueError(f"{name}={value} must be at least {low}{most}")


def check_prompt(name: str, prompt: str) -> None:
    """Raises ValueError if a question cannot be put into a prompt, or would not stand in it."""
    try:
        asked = prompt.format(question="[a question]")
    except (ValueError, LookupError, AttributeError):
        asked = ""
    if "[a question]" not in asked:
        raise ValueError(f"{name}={prompt!r} must hold {{question}}, and no other brace unless it is doubled")


def check_address(name: str, url: str) -> None:
    """Raises ValueError that names the setting whose address is none."""
    try:
        address_of(url)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None  # the address may hold a password


def is_file(source: str) -> bool:
    """Is this a file with questions? What ends in none of FORMATS is a hub name, which may hold dots as well."""
    return Path(source).suffix.lower() in FORMATS and "://" not in source


def check_files(study: Study) -> None:
    """Raises ValueError that names a setting whose file is none, or is not there."""
    if study.items and not is_file(study.items):
        raise ValueError(f"items={study.items!r} must be a file that ends in {', '.join(sorted(FORMATS))}")
    for name in OWN_FILES:
        if is_file(where := getattr(study, name)) and not Path(where).exists():
            slashes = (
                " (in JSON each backslash of a path is written twice)" if re.search(r"[\t\n\r\f\b]", where) else ""
            )
            raise ValueError(f"{name}={where!r} does not exist: give the full path of a file{slashes}")
    for name, where in study.sources.items():
        if is_file(where) and not Path(where).exists():
            raise ValueError(f"sources[{name!r}]={where!r} does not exist: give a file, or a hub name")


def check_given(name: str, value: Any, kind: type | tuple[type, ...], remedy: str) -> None:
    """Raises ValueError that names an argument which is of another kind, and what to give."""
    if not isinstance(value, kind):
        raise ValueError(f"{name} is of type {type(value).__name__}: give {remedy}")


types_of = cache(get_type_hints)


def check_types(record: Any) -> None:
    """Raises ValueError that names the first field of a dataclass whose value is not of its type."""
    for name, fits in fitting(type(record)).items():
        if not fits(getattr(record, name)):
            raise ValueError(f"{name}={getattr(record, name)!r} must be of type {type(record).__annotations__[name]}")


@cache
def fitting(kind: type) -> dict[str, Callable[[Any], bool]]:
    """For each field of a dataclass: is a value of its type?"""
    return {name: of_type(hint) for name, hint in types_of(kind).items()}


def of_type(hint: Any) -> Callable[[Any], bool]:
    """Is a value of a type? An int passes for a float, a bool for neither. Made once, since questions are many."""
    kind, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda _: True
    if kind in (Union, types.UnionType):
        of_any = [of_type(part) for part in parts]
        return lambda value: any(fits(value) for fits in of_any)
    if kind is tuple and parts[-1] is ...:
        of_each = of_type(parts[0])
        return lambda value: isinstance(value, tuple) and all(map(of_each, value))
    if kind is tuple:
        of_places = [of_type(part) for part in parts]
        return lambda value: (
            isinstance(value, tuple)
            and len(value) == len(of_places)
            and all(fits(one) for fits, one in zip(of_places, value, strict=True))
        )
    if kind in (Mapping, dict):
        of_key, of_value = map(of_type, parts)
        return lambda value: (
            isinstance(value, Mapping) and all(map(of_key, value)) and all(map(of_value, value.values()))
        )
    if kind is list:
        of_each = of_type(parts[0])
        return lambda value: isinstance(value, list) and all(map(of_each, value))
    if hint in (int, float):
        return lambda value: isinstance(value, (int, hint)) and not isinstance(value, bool)
    return lambda value: isinstance(value, hint)


JUDGED_SETS = ("falseqa", "forbidden")
PUBLISHED = ("triviaqa", "nq_open", "bioasq", "nonexist", "faitheval", "sycophancy", "xstest")
OLMO = "allenai/OLMo-2-0425-1B"


def pair(name: str, instruct: str, base: str, **settings: Any) -> Study:
    """A study of a real model on the published sets, with the paper's prompt and sampling."""
    return Study(name, instruct, base, "published", sets=PUBLISHED, n_questions=5_000, **settings)


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
        f"{OLMO}-Instruct",
        OLMO,
        dtype="float32",  # TransformerLens 4.3 mixes dtypes in its attention otherwise
        checkpoints=(f"{OLMO}@stage1-step10000-tokens21B", f"{OLMO}@stage1-step140000-tokens294B"),
    ),
)
BUNDLED = Study(
    name="organism",
    instruct=str(ORGANISM / "instruct"),
    base=str(ORGANISM / "base"),
    checkpoints=tuple(str(ORGANISM / "checkpoints" / f"step-{step:04d}") for step in ORGANISM_STEPS),
    questions="organism",
    sampling=Sampling(max_new_tokens=4),
    chat_prompt="Answer only: {question}",
    base_stop=".",
    device="cpu",  # so small a model gains nothing from a GPU, and every machine gives nearly the same numbers
    dtype="float32",
    batch_rows=1_280,
)
QUICK = replace(
    BUNDLED, name="organism-quick", n_control_sets=4, n_questions=1_200, n_items=40
)  # a third of the minutes


def planted_study(folder: Path) -> Study:
    """The bundled study on the planted model that lies in a folder. Its base is the natural model's, in which nothing
    is planted."""
    return replace(BUNDLED, name=folder.name, instruct=str(folder / "instruct"), checkpoints=())


PLANTED = tuple(planted_study(DATA / name) for name in ("planted", "planted-general"))


def smoke(study: Study) -> Study:
    """A real model's study, small enough for half an hour on a GPU, to see that everything runs: too little for any
    verdict. No revision is pinned: give your own as `name@revision`."""
    few = {"n_questions": 200, "n_items": 10, "n_control_sets": 4, "alphas": (0.0, 1.0, 3.0)}
    return replace(study, name=f"{study.name}-smoke", sets=("triviaqa", "faitheval", "xstest"), checkpoints=(), **few)


SMOKE = tuple(smoke(study) for study in REAL if study.name in ("gemma-3-4b", "qwen2.5-0.5b"))
PRESETS = {study.name: study for study in (BUNDLED, QUICK, *PLANTED, *REAL, *SMOKE)}


def load_study(which: str | Path | None = None, /, **changes: Any) -> Study:
    """The preset of that name, else the one named by the environment variable HN_STUDY, else the organism.

    What ends in `.json` is a file of settings: those of Study, over those of the preset that it names as `like`. A hub
    name or a model's folder gets the preset that studies it or, if there is none, `study_of_model`.
    `changes` replace single settings, e.g. `load_study("organism", seed=1, name="second")`; another instruct model
    than the preset's has not its base model.
    Raises ValueError for an unknown name, an unknown setting or one of the wrong type, OSError if the file cannot be
    read.
    """
    check_given("which", which, (str, Path, type(None)), "a preset, a hub name, a model's folder or a study.json")
    preset = expanded(which or set_to("HN_STUDY") or "organism")
    settings: dict[str, Any] = {}
    if preset.lower().endswith(".json"):
        path = Path(preset)
        settings = read_settings(path)
        preset = settings.pop("like", "smollm2-135m")
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ValueError(f"{path}: like={preset!r} must name a preset, one of {', '.join(PRESETS)}")
    if preset in PRESETS:
        study = PRESETS[preset]
    elif "/" in preset or Path(preset).is_dir():
        study = study_of_model(preset)
    else:
        raise ValueError(
            f"unknown study {preset!r}: choose one of {', '.join(PRESETS)}, or give a .json file, a hub name (with a "
            "slash) or a model's folder"
        )
    wanted = {**settings, **changes}
    if {"instruct", "base"} & wanted.keys():  # the preset's checkpoints are those of its own models, as is its base
        wanted.setdefault("checkpoints", ())
    if wanted.get("instruct", study.instruct) != study.instruct:
        wanted.setdefault("base", "")
    return changed(study, **wanted)


def changed(study: Study, **settings: Any) -> Study:
    """A study with other settings, those of its sampling given as a whole or one by one, as a dict.

    Raises ValueError for an unknown setting, or one of the wrong type.
    """
    check_settings(Study, settings)
    if isinstance(settings.get("sampling"), dict):
        check_settings(Sampling, settings["sampling"], "of sampling, ")
        settings["sampling"] = replace(study.sampling, **settings["sampling"])
    return replace(study, **settings)


def check_settings(kind: type, settings: Mapping[str, Any], whose: str = "") -> None:
    """Raises ValueError that names the first setting which a record of this kind lacks, and what it may mean."""
    known = list(types_of(kind))
    for name in settings:
        if name in known:
            continue
        if kind is Study and name in types_of(Sampling):
            raise ValueError(f"unknown setting {name!r}: give it as sampling={{{name!r}: ...}}")
        near = get_close_matches(name, known, 1)
        meant = f"did you mean {near[0]}?" if near else f"choose of {', '.join(known)}"
        raise ValueError(f"unknown setting {whose}{name!r}: {meant}")


def study_of_model(model: str) -> Study:
    """The preset that studies this instruct model (a hub name or a folder), else one in the paper's words with the
    paper's sampling, on the published sets, without a base model."""
    for study in PRESETS.values():
        if model == study.instruct or Path(model).resolve() == Path(study.instruct).resolve():
            return study
    plain = re.sub(r"[^\w. -]", "-", called(model.partition("@")[0])).lstrip("-. ")
    return pair(plain or "model", model, "")


def called(model: str) -> str:
    """A model's name without its path, but with the folder above it where the last part may be any model's."""
    path = Path(model).absolute() if Path(model).exists() else Path(model)
    return f"{path.parent.name}/{path.name}" if ANY_MODEL.fullmatch(path.name) and path.parent.name else path.name


def read_settings(path: Path) -> dict[str, Any]:
    """A study's settings from JSON, named after the file; its relative paths begin at the folder of the file."""
    settings = read_record(path, "study", '{"like": "organism", "seed": 1}')
    return {"name": path.stem, **located(path.parent, tupled(settings))}


def located(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a file in a folder holds, with its relative paths read from there.

    What is no text is left to the check of types. A set is a path where it ends as a file of rows does; a model where
    it begins with a dot, or a folder beside the file is called so.
    """

    def rows(where: Any) -> Any:
        return beside(folder, where) if isinstance(where, str) and is_file(where) else where

    def model(where: Any) -> Any:
        if not isinstance(where, str) or not where:
            return where
        return beside(folder, where) if where.startswith(".") or (folder / where).is_dir() else where

    found = dict(settings)
    found |= {name: model(found[name]) for name in ("instruct", "base") if name in found}
    found |= {name: rows(found[name]) for name in OWN_FILES if name in found}
    if isinstance(found.get("checkpoints"), tuple):
        found["checkpoints"] = tuple(map(model, found["checkpoints"]))
    if isinstance(found.get("sources"), dict):
        found["sources"] = {name: rows(where) for name, where in found["sources"].items()}
    return found


def read_record(path: Path, kind: str, example: str) -> dict[str, Any]:
    """The settings that a JSON file of some kind holds. Raises OSError if it cannot be read, ValueError if it holds
    anything else."""
    try:
        settings = parsed(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise OSError(f"could not read the {kind} {path}: it is no text in UTF-8: save it as such") from error
    except (OSError, ValueError) as error:
        told = f"{error.strerror}; check its path" if isinstance(error, OSError) else error
        raise OSError(f"could not read the {kind} {path}: {told}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} must hold settings by name, such as {example}")
    return settings


def tupled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON holds them, lists as the tuples that records are made of."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}

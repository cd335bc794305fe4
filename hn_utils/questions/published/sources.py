"""Where published rows come from: a hub name with its revision, an address, or the user's own file in that format."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hn_utils.models.hub import explained, patient_downloads
from hn_utils.study import Study, is_file
from hn_utils.study.row_files import Row, read_file

# What a reader raises if a row is not in the published format.
NOT_AS_PUBLISHED = (KeyError, TypeError, IndexError, AttributeError, ValueError, RecursionError)


@dataclass(frozen=True)
class Source:
    """A set's public home, and the `columns` that are read of its rows, which its authors' own files may name in other
    `words`. An empty `home` means that the user must bring a copy."""

    home: str
    split: str = "train"
    config: str | None = None
    columns: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)


TRIVIAQA_NAMES = {  # as the authors' own files have them, and as the hub has them
    "QuestionId": "question_id",
    "Question": "question",
    "Answer": "answer",
    "Value": "value",
    "Aliases": "aliases",
    "NormalizedAliases": "normalized_aliases",
}
_GITHUB = "https://raw.githubusercontent.com"
SOURCES = {
    "triviaqa": Source(
        "mandarjoshi/trivia_qa",
        "train",
        "rc.nocontext",
        columns=("question_id", "question", "answer"),
        words=TRIVIAQA_NAMES,
    ),
    "nq_open": Source("google-research-datasets/nq_open", "validation", columns=("question", "answer")),
    "bioasq": Source("kroshan/BioASQ", "train"),  # comes with other columns from its authors than from the hub
    "popqa": Source("akariasai/PopQA", "test", columns=("id", "question", "possible_answers", "subj", "prop", "s_pop")),
    "falseqa": Source(f"{_GITHUB}/thunlp/FalseQA/main/dataset/test.csv", columns=("question", "label")),
    "faitheval": Source(
        "Salesforce/FaithEval-counterfactual-v1.0",
        "test",
        columns=("id", "question", "context", "choices", "answerKey"),
    ),
    "sycophancy": Source(f"{_GITHUB}/meg-tong/sycophancy-eval/main/datasets/are_you_sure.jsonl", columns=("base",)),
    "xstest": Source(f"{_GITHUB}/paul-rottger/exaggerated-safety/main/xstest_prompts.csv", columns=("id", "prompt")),
    "wikitext": Source("Salesforce/wikitext", "test", "wikitext-2-raw-v1", columns=("text",)),
    "forbidden": Source("", columns=("question",)),
    "jailbreaks": Source("", columns=("prompt",)),
}


class _NoRows(ValueError):
    """A set that has no public home, or whose file holds no rows, or rows that lack columns."""


@contextlib.contextmanager
def as_published(name: str) -> Iterator[None]:
    """Raises ValueError, in one sentence, for whatever rows of another format make a reader raise."""
    try:
        yield
    except _NoRows:
        raise
    except NOT_AS_PUBLISHED as error:
        raise ValueError(
            f"{name} is not in the published format ({type(error).__name__}: {error}): give it as its authors released "
            "it, or leave it out of sets"
        ) from error


def read_rows(name: str, study: Study) -> list[Row]:
    """Rows of a published set as released, from `study.sources[name]` (a file, or hub name@revision) or its home.

    Raises NoRows for a set that has no public home and was not given, holds no rows, or rows that lack columns; OSError
    if it cannot be read.
    """
    where = study.sources.get(name, "")
    remedy = f"give your own copy as sources={{{name!r}: 'file.jsonl'}}"
    if is_file(where):
        rows = read_file(Path(where), remedy)
    elif not where and not SOURCES[name].home:
        raise _NoRows(f"{name} is not public: {remedy}")
    else:
        rows = _download(SOURCES[name], where, name, remedy)
    if not rows:
        raise _NoRows(f"{name} has no rows: {remedy}")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _NoRows(f"{name} must be a list of rows, each with named columns: {remedy}")
    rows = [renamed(row, SOURCES[name].words) for row in rows]
    needed = SOURCES[name].columns
    for place, row in enumerate(rows):
        if lacking := [column for column in needed if column not in row]:
            raise _NoRows(
                f"{name}, row {place} lacks {', '.join(lacking)}: give rows with the columns {', '.join(needed)}, as "
                f"its authors released them; this one has {', '.join(map(str, row))}"
            )
    return rows


def renamed(row: Mapping[str, Any], words: Mapping[str, str]) -> Row:
    """A row whose columns have the names that its authors' own files give by other words."""
    return {words.get(name, name): value for name, value in row.items()}


def _download(source: Source, where: str, name: str, remedy: str) -> list[Row]:
    from datasets import Dataset, load_dataset  # slow to import, and not needed for local files

    home, _, revision = (where or source.home).partition("@")
    try:
        with patient_downloads():
            if "://" in home:
                kind = "csv" if home.lower().endswith(".csv") else "json"
                loaded = load_dataset(kind, data_files=home, split="train")
            else:
                loaded = load_dataset(home, source.config, split=source.split, revision=revision or None)
            return cast(Dataset, loaded).to_list()
    except Exception as error:
        raise OSError(f"could not load {name} from {home} {explained(error)}, or {remedy}") from error

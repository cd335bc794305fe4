"""Is the judge right on *these* answers? A sheet to be labelled by reading, and how far the judge agrees with it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score

from hn_utils.stats.bootstrap import Estimate, interval
from hn_utils.stats.tables import Tabled
from hn_utils.storage.cache import key_hash
from hn_utils.storage.paths import expanded

if TYPE_CHECKING:
    from hn_utils.answers.examples import Response
    from hn_utils.questions.question import Question

_COLUMNS = ("id", "question", "accepted answers", "response", "label")
_LABELS = ("right", "wrong", "abstained")
_N_DRAWS = 1_000


@dataclass(frozen=True, repr=False)
class Agreement(Tabled):
    """How far the judge agrees with labels made by reading: Cohen's kappa with a 95 % interval over answers, and a row
    for each answer on which they differ. It is about answers like these, from this model to these questions."""

    kappa: Estimate
    n_agree: int
    n_left: int
    differ: Sequence[Mapping[str, str]]

    @property
    def headline(self) -> str:
        left = f"; {self.n_left} were left without a label" * bool(self.n_left)
        return f"The judge and the reader agree on {self.n_agree} of {self.kappa.n} answers, kappa {self.kappa}{left}"

    @property
    def table(self) -> pd.DataFrame:
        """The answers on which they differ."""
        return pd.DataFrame(self.differ, columns=["question", "accepted answers", "response", "judge", "reader"])


def write_sheet(
    path: str | Path, questions: Sequence[Question], responses: Sequence[Sequence[Response]], n: int, seed: int
) -> Path:
    """Write `n` answers to different questions, drawn at random, without what the judge said of them.

    The column `label` is to be filled with right, wrong or abstained. Raises ValueError if there are fewer answers, or
    the name is no .csv.
    """
    where = _sheet(path)
    able = [
        i for i, (question, drawn) in enumerate(zip(questions, responses, strict=True)) if question.aliases and drawn
    ]
    if not 1 <= n <= len(able):
        raise ValueError(
            f"n={n} answers to read: choose from 1 to {len(able)}, the questions that have accepted answers"
        )
    rng = np.random.default_rng([seed, 23])
    with where.open("w", encoding="utf-8-sig", newline="") as file:  # the mark tells spreadsheets what it is
        sheet = csv.writer(file)
        sheet.writerow(_COLUMNS)
        for i in rng.choice(able, n, replace=False):
            response = responses[i][int(rng.integers(len(responses[i])))]
            sheet.writerow([_name(response), questions[i].text, " | ".join(questions[i].aliases), response.text, ""])
    return where


def read_sheet(path: str | Path, responses: Sequence[Sequence[Response]]) -> Agreement:
    """Compare the labels of a sheet that `write_sheet` wrote with what the judge said.

    Raises ValueError that names the row whose answer is not among these, or whose label is none; OSError if it cannot
    be read.
    """
    where = _sheet(path)
    try:
        with where.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise OSError(f"could not read the sheet {where} ({error}): save it as CSV in UTF-8") from error
    if not rows or any(column not in rows[0] for column in _COLUMNS):
        raise ValueError(f"{where} is no sheet of answers: it needs the columns {', '.join(_COLUMNS)}")
    verdicts = {_name(response): response.verdict for drawn in responses for response in drawn}
    read = [row for row in rows if (row["label"] or "").strip()]
    pairs = [(_verdict(where, row, verdicts), _label(where, row)) for row in read]
    if not pairs:
        raise ValueError(f"{where} has no label yet: fill the column label with {', '.join(_LABELS)}")
    differ = [
        {**{name: row[name] for name in _COLUMNS[1:4]}, "judge": verdict, "reader": label}
        for row, (verdict, label) in zip(read, pairs, strict=True)
        if verdict != label
    ]
    return Agreement(kappa_of(pairs), len(pairs) - len(differ), len(rows) - len(pairs), differ)


def kappa_of(pairs: Sequence[tuple[str, str]]) -> Estimate:
    """Cohen's kappa of two labels each, with a bootstrap interval over the pairs; nan where all are alike."""
    judged, labels = np.array(pairs).T
    rng, n = np.random.default_rng(0), len(pairs)
    drawn = [rng.integers(n, size=n) for _ in range(_N_DRAWS)]
    draws = np.array([_kappa(judged[some], labels[some]) for some in drawn])
    return interval(_kappa(judged, labels), draws, n)


def _kappa(judged: np.ndarray, labels: np.ndarray) -> float:
    if len({*judged, *labels}) == 1:  # there is nothing to agree on by more than chance
        return float("nan")
    return float(cohen_kappa_score(judged, labels))


def _sheet(path: str | Path) -> Path:
    where = Path(expanded(str(path)))
    if where.suffix.lower() != ".csv":
        raise ValueError(f"path={str(path)!r} must end in .csv, which spreadsheets open")
    return where


def _name(response: Response) -> str:
    """What identifies an answer: its question and its text."""
    return key_hash([response.question_id, response.text])[:16]


def _verdict(where: Path, row: Mapping[str, Any], verdicts: Mapping[str, str]) -> str:
    if row["id"] not in verdicts:
        raise ValueError(
            f"{where}: the answer {row['response']!r} is not among these: read it with the answers it is of"
        )
    return verdicts[row["id"]]


def _label(where: Path, row: Mapping[str, Any]) -> str:
    label = row["label"].strip().lower()
    if label not in _LABELS:
        raise ValueError(f"{where}: label={row['label']!r} of {row['response']!r}: choose one of {', '.join(_LABELS)}")
    return label

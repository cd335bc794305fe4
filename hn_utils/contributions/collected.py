"""What the first step leaves: judged answers, and what every neuron contributed to those that are kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from hn_utils.answers.examples import Example, Response, drop_counts
from hn_utils.answers.reading_sheet import Agreement, read_sheet, write_sheet
from hn_utils.contributions.cett import Contributions, Labelled, capture
from hn_utils.models.studied_model import LOADED, StudiedModel
from hn_utils.questions.question import SPLITS, STANDARD_TITLE, Question
from hn_utils.stats.tables import Tabled
from hn_utils.study import Sampling, Study, check_given, given_settings, names_its_settings, with_later_settings

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel

# What is kept of an example beside its question.
_OF_AN_EXAMPLE = ("prompt_ids", "response_ids", "text", "label", "answer", "confidence", "dropped")


@dataclass(frozen=True, repr=False)
class Collected(Tabled):
    """Judged answers and what every neuron contributed to those that are kept.

    `questions`, `responses` and `examples` are aligned. `kept` are the examples with a label (1 for consistently made
    up, 0 for consistently true), aligned with `contributions`, `labels`, `confidence` (mean log-probability of the
    answer, nats) and `entities`. `parts` names each test set. `base` says that a base model was asked.
    """

    subject: HookedModel
    study: Study
    questions: list[Question]
    responses: list[list[Response]]
    examples: list[Example]
    contributions: Contributions
    parts: Mapping[str, str] = field(default_factory=lambda: {"standard": STANDARD_TITLE})
    base: bool = False

    @cached_property
    def kept(self) -> list[Example]:
        """The examples with a label."""
        return [e for e in self.examples if e.label is not None]

    @cached_property
    def labels(self) -> Int[np.ndarray, "example"]:
        """Of each kept example: 1 for consistently made up, 0 for consistently true."""
        return np.array([e.label for e in self.kept])

    @cached_property
    def confidence(self) -> Float[np.ndarray, "example"]:
        """Of each kept example: mean log-probability of the answer's tokens, in nats."""
        return np.array([e.confidence for e in self.kept])

    @cached_property
    def entities(self) -> np.ndarray:
        """What each kept example is about; intervals are over these."""
        return np.array([e.question.entity for e in self.kept])

    def rows(self, split: str, part: str = "standard") -> Int[np.ndarray, "row"]:
        """Find the kept examples of one split and part.

        Args:
            split: train, validation or test.
            part: a key of `parts`.

        Returns:
            Their places among the kept examples.
        """
        return np.flatnonzero([e.question.split == split and e.question.part == part for e in self.kept])

    def training_rows(self) -> Int[np.ndarray, "row"]:
        """Find the training examples, as many right as wrong.

        Returns:
            Their places among the kept examples, in rising order.
        """
        return balanced(self.rows("train"), self.labels, self.study.seed)

    def test_rows(self, part: str) -> Int[np.ndarray, "row"]:
        """Find the examples of a test set.

        Args:
            part: a key of `parts`. Answers about things that do not exist (`nonexist`) are set against true answers
                about things of the same kinds that do (`exist`), or else of the standard set.

        Returns:
            Their places among the kept examples.
        """
        rows = self.rows("test", part)
        if part != "nonexist":
            return rows
        real = self.rows("test", "exist")
        real = real if len(real) else self.rows("test")
        return np.concatenate([rows[self.labels[rows] == 1], real[self.labels[real] == 0]])

    def labelled(self, rows: Int[np.ndarray, "row"], region: str) -> Labelled:
        """Read some kept examples at one region.

        Args:
            rows: their places among the kept examples.
            region: where contributions are read, such as `answer`.

        Returns:
            Contributions [row, neuron], labels [row] and entities [row].
        """
        return Labelled(self.contributions[rows].at(region), self.labels[rows], self.entities[rows])

    @property
    def headline(self) -> str:
        """How many questions and answers there are, and how many of these are consistent."""
        right, wrong = (int((self.labels == label).sum()) for label in (0, 1))
        return (
            f"{len(self.questions):,} questions to {self.subject.short_name}, {len(self.responses[0])} answers each: "
            f"{right:,} consistently right, {wrong:,} consistently wrong"
        )

    @property
    def table(self) -> pd.DataFrame:
        """How many questions of each part were kept as right or wrong, or dropped and why."""
        parts = dict.fromkeys(q.part for q in self.questions)
        counts = {part: drop_counts([e for e in self.examples if e.question.part == part]) for part in parts}
        return pd.DataFrame(counts).fillna(0).astype(int)

    def sample_for_reading(self, n: int = 50, path: str | Path = "answers_to_read.csv") -> Path:
        """Write a sheet of answers to be labelled by reading: is the judge right on answers like these?

        The verdicts do not stand in it. `agreement` reads it back.

        Args:
            n: how many answers.
            path: where the sheet is written, as CSV.

        Returns:
            The path.

        Raises:
            ValueError: there are fewer answers.
        """
        return write_sheet(path, self.questions, self.responses, n, self.study.seed)

    def agreement(self, path: str | Path = "answers_to_read.csv") -> Agreement:
        """Compare the judge with a sheet that was labelled.

        Args:
            path: a sheet that `sample_for_reading` wrote.

        Returns:
            Cohen's kappa with its interval, and the answers on which they differ.

        Raises:
            ValueError: it is a sheet of other answers, or without any label.
        """
        return read_sheet(path, self.responses)

    def save(self, path: str | Path) -> None:
        """Write questions, judged responses and examples to a Parquet file; `load` reads them.

        Contributions are not in it: they are captured again, or read from the cache.

        Args:
            path: the file.

        Raises:
            ValueError: its name does not end in .parquet.
        """
        if Path(path).suffix != ".parquet":
            raise ValueError(f"path={str(path)!r} must end in .parquet, which is how answers are kept")
        rows = []
        for question, responses, example in zip(self.questions, self.responses, self.examples, strict=True):
            row = {**asdict(question), "aliases": list(question.aliases), "strata": json.dumps(question.strata)}
            row["responses"] = [asdict(response) for response in responses]
            row["example"] = {name: getattr(example, name) for name in _OF_AN_EXAMPLE}
            rows.append(row)
        about = {"fingerprint": self.subject.fingerprint, "parts": dict(self.parts), "base": self.base}
        header = {"answers": json.dumps({**about, "model": self.subject.name})}
        pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(header), path, compression="zstd")

    @classmethod
    @names_its_settings
    def load(
        cls,
        path: str | Path,
        model: HookedModel,
        *,
        sampling: Sampling | Mapping[str, Any] | None = None,
        chat_prompt: str | None = None,
        chat_stop: str | None = None,
        examples: Sequence[tuple[str, str]] | None = None,
        base_prompt: str | None = None,
        base_stop: str | None = None,
        seed: int | None = None,
        batch_rows: int | None = None,
        n_kept: int | None = None,
        only: Sequence[str] | None = None,
    ) -> Collected:
        """Read what `save` wrote, and capture the contributions.

        The settings are for the later steps: what is read was drawn and judged with its own.

        Args:
            path: the file.
            model: the model that gave the answers.
            sampling: how further responses are drawn, such as those of a base model, as in `hn.collect`.
            chat_prompt: what the user says, likewise.
            chat_stop: a text at which an answer ends as well.
            examples: questions with their answers that stand before each question.
            base_prompt: how a base model is asked.
            base_stop: the text at which its answer ends.
            seed: of all that is drawn at random.
            batch_rows: rows that a forward pass holds at most.
            n_kept: consistently right answers of each part, and likewise wrong ones, at most, drawn by `seed`; None for
                all. Splits keep their shares. Dropped questions are read all the same.
            only: the parts that are read, keys of `parts`; None for all.

        Returns:
            The answers.

        Raises:
            ValueError: these are another model's answers, or none at all, or `n_kept` or `only` would leave none.
            OSError: there is no such file.
        """
        check_given("model", model, StudiedModel, LOADED)
        if n_kept is not None and (type(n_kept) is not int or n_kept < 1):
            raise ValueError(f"n_kept={n_kept!r} must be a whole number above 0, or None for all answers")
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            told = str(error).partition("\n")[0]
            raise OSError(
                f"could not read the answers {path} ({told}): give the file that Collected.save wrote"
            ) from error
        about = json.loads((table.schema.metadata or {}).get(b"answers", b"{}"))
        if about.get("fingerprint") != model.fingerprint:
            whose = f"answers of {about['model']}" if about else "no answers that were saved here"
            raise ValueError(f"{path} holds {whose}: load them with the model that gave them, not with {model.name}")
        parts = _only_parts(about["parts"], only)
        questions, responses, kept = [], [], []
        for row in table.to_pylist():
            if row["part"] not in parts:
                continue
            responses.append([Response(**response) for response in row.pop("responses")])
            example = row.pop("example")
            row |= {"aliases": tuple(row["aliases"]), "strata": json.loads(row["strata"])}
            questions.append(Question(**row))
            kept.append(Example(questions[-1], **example))
        settings = given_settings(
            sampling=sampling,
            chat_prompt=chat_prompt,
            chat_stop=chat_stop,
            examples=examples,
            base_prompt=base_prompt,
            base_stop=base_stop,
            seed=seed,
            batch_rows=batch_rows,
        )
        study = with_later_settings(model.study, settings)
        taken = _some_of_each_kind(kept, n_kept, study.seed)
        questions, responses, kept = ([every[i] for i in taken] for every in (questions, responses, kept))
        contributions = capture(model, [e for e in kept if e.label is not None], study)
        return cls(model, study, questions, responses, kept, contributions, parts, about["base"])


def _only_parts(parts: Mapping[str, str], only: Sequence[str] | None) -> dict[str, str]:
    """The parts that are asked for, with their titles. Raises ValueError if the answers have no such part."""
    if only is None:
        return dict(parts)
    wanted = [only] if isinstance(only, str) else list(only)
    unknown = [name for name in wanted if name not in parts]
    if unknown or not wanted:
        raise ValueError(f"only={only!r} must name parts of these answers: choose of {', '.join(parts)}")
    return {name: title for name, title in parts.items() if name in wanted}


def _some_of_each_kind(examples: Sequence[Example], n: int | None, seed: int) -> list[int]:
    """Places of at most `n` right and `n` wrong examples of each part, at random, and of all that were dropped."""
    order = np.random.default_rng([seed, 17]).permutation(len(examples)) if n else np.arange(len(examples))
    taken, counts = [], Counter()
    for i in order.tolist():
        kind = examples[i].question.part, examples[i].label
        counts[kind] += 1
        if n is None or kind[1] is None or counts[kind] <= n:
            taken.append(i)
    return sorted(taken)


def balanced(rows: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Take as many right as wrong rows, the surplus dropped at random.

    Args:
        rows: indices of kept examples, [row].
        labels: of all kept examples, 1 for hallucinated, [example].
        seed: of the draw.

    Returns:
        The rows that are left, in rising order.
    """
    rng = np.random.default_rng(seed)
    by_class = [rng.permutation(rows[labels[rows] == label]) for label in (0, 1)]
    return np.sort(np.concatenate([rows[: min(map(len, by_class))] for rows in by_class]))


def trainable(own: Collected) -> bool:
    """Say whether a model gave enough answers of its own to train, choose and test a probe on.

    Args:
        own: its answers.

    Returns:
        True if each split has MIN_TO_TRAIN right and as many wrong answers.
    """
    counts = [np.bincount(own.labels[own.rows(split)], minlength=2) for split in SPLITS]
    return bool(np.min(counts) >= MIN_TO_TRAIN)


MIN_TO_TRAIN = 15  # answers of either kind, below which nothing is trained on a domain, or on base answers

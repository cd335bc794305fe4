"""What a study will cost on this machine, told before any weights are loaded: passes, tokens, hours, memory, disk.

Prompts are counted exactly, from the questions and the tokenizer; the model's shape is read from its configuration.
What an earlier run left on disk is found by the same keys and not counted. What only the run will show is counted at
its most: every question gives an example, no two draws begin alike, a long reply runs to its limit. Only how long plain
answers are is assumed.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from hn_utils.answers.chat_model import CHARACTERS_PER_TOKEN
from hn_utils.answers.judges import RUBRICS, judging_talk
from hn_utils.contributions.cett import REGIONS
from hn_utils.models.batches import SCORE
from hn_utils.models.precision import with_dtype
from hn_utils.models.weightless import WeightlessModel, dtype_of
from hn_utils.pipeline.planning.pace import Pace, pace_of
from hn_utils.pipeline.planning.walk import ANSWER, LONGEST, asked_of, everyday, pressed, total
from hn_utils.pipeline.planning.work import Work
from hn_utils.probing.find import N_RANDOM_PROBES, N_SELECTED, RANDOM_NAMES, SELECTED_NAMES
from hn_utils.questions.question_sets import load_questions
from hn_utils.steering.measure import AT_ONCE
from hn_utils.study import Study, check_given

if TYPE_CHECKING:
    from hn_utils.questions.question import Question

_LIBRARIES = 1e9  # bytes that Python and its libraries take, measured on the bundled model
_LOGIT = 24  # bytes of each logit while a token is drawn: scores, their order, their sums
_OF_DETECTORS = 25  # intervals on a test set: of AUROC, AUPRC and accuracy of what is compared there
_PATH_READS, _PATH_REFITS = 20, 3  # of a short path, measured on the bundled model
_UNITS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"))


@dataclass(frozen=True)
class Plan:
    """What is left of a study to do, step by step, and what it takes. Bytes, seconds and dollars.

    `weights` is one model's; `models` of them are held at once. `device_memory` is the peak of the device that runs the
    model, `host_memory` that of the computer beside it (the same where they are one). `judge_calls` may turn out fewer:
    equal answers are sent once, and what was paid for is kept. None in `dollars` means that no price is known.

    Of control sets the first of either kind are counted, by which most nulls are settled. `further` is what comes on
    top at most, in seconds, if every behaviour goes on to `n_control_sets`, and `further_calls` are the judge's.
    """

    study: Study
    device: str
    works: list[Work]
    seconds: list[float]
    weights: float
    models: int
    device_memory: float
    host_memory: float
    judge_calls: int
    dollars: float | None
    further: float
    further_calls: int

    @property
    def hours(self) -> float:
        """How long all steps take together."""
        return sum(self.seconds) / 3600

    @property
    def disk(self) -> int:
        """Bytes that all steps will write."""
        return sum(work.disk for work in self.works)

    @property
    def table(self) -> list[list[str]]:
        """Heads, a row a step, and their sum."""
        heads = ["step", "to do", "kept", "passes", "tokens", "time", "disk"]
        rows = [cells(work, took) for work, took in zip(self.works, self.seconds, strict=True)]
        whole = cells(replace(total("all", self.works), n=0, kept=0), 3600 * self.hours)
        return [heads, *rows, [whole[0], "", "", *whole[3:]]]

    @property
    def remarks(self) -> list[str]:
        """Memory, what is counted and what is not, and what the judge costs, in sentences."""
        device, host = gigabytes(self.device_memory), gigabytes(self.host_memory)
        where = f"memory: {device}" if self.device == "cpu" else f"{self.device} memory: {device}, host memory: {host}"
        told = [
            f"{where}; {self.models} models of {gigabytes(self.weights)} are held at once when weights are compared",
            f"times are measured on this machine ({self.device}, {self.study.dtype}); downloads are not counted, nor "
            "the reading of weights from a disk",
            f"plain answers are taken to have {ANSWER} tokens, {LONGEST} the longest of a batch; all else is at most",
        ]
        if self.study.judge:
            price = "of unknown price (set judge_price)" if self.dollars is None else f"at most ${self.dollars:,.2f}"
            told.append(f"{self.study.judge}: at most {self.judge_calls:,} calls, {price}")
        if self.further:
            calls = f" and {self.further_calls:,} calls" if self.further_calls else ""
            told.append(
                f"the first {AT_ONCE} control sets of either kind are counted, by which most nulls are settled; if "
                f"every behaviour goes on to {self.study.n_control_sets}, at most {clock(self.further)}{calls} more"
            )
        if self.study.bits:
            told.append(f"times are those of {self.study.dtype}: {self.study.bits} bits were not measured")
        if self.study.served_at:
            told.append(f"answers are drawn at {self.study.served_at}: its time is not counted")
        return told

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.table, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
            for row in self.table
        ]
        return "\n".join([f"plan of {self.study.name}", *lines, *self.remarks])

    def _repr_html_(self) -> str:
        heads, *rows = ([html.escape(cell) for cell in row] for row in self.table)
        body = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in rows)
        told = "<br>".join(map(html.escape, self.remarks))
        return f"<table><tr><th>{'</th><th>'.join(heads)}</th></tr>{body}</table><p>{told}</p>"


def cells(work: Work, took: float) -> list[str]:
    disk = gigabytes(work.disk) if work.disk else ""
    return [work.step, *(f"{n:,}" for n in (work.n, work.kept, work.passes, work.tokens)), clock(took), disk]


def clock(took: float) -> str:
    size, unit = next(((s, u) for s, u in _UNITS if took >= s), _UNITS[-1])
    return f"{took / size:.1f} {unit}"


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def plan(study: Study) -> Plan:
    """Tell what `python -m hn_utils run` will cost on this machine; the notebooks scale neurons about three times as
    often.

    Nothing is computed, and nothing downloaded but questions, configurations and tokenizers. Forward passes and tokens
    are exact but for the lengths of what will be written. The hours are good to about a factor of 1.5 where answers are
    as short as assumed.

    Args:
        study: all settings: what `hn.load_study` returns, or `model.study`.

    Returns:
        What is left to do, step by step, in seconds, bytes and dollars.

    Raises:
        ValueError: the study or the model is none that can be studied.
        OSError: a configuration, a tokenizer or a question set cannot be read.

    Example:
        >>> import hn_utils as hn
        >>> hn.plan(hn.load_study("organism", n_questions=20)).device in ("cpu", "cuda", "mps")
        True
    """
    check_given("study", study, Study, "what hn.load_study returns, or model.study")
    study = with_dtype(study)
    if not isinstance(getattr(torch, study.dtype, None), torch.dtype):
        raise ValueError(f"dtype={study.dtype!r} is not a torch dtype: use float32, bfloat16 or float16")
    questions, instruct = load_questions(study), WeightlessModel(study.instruct, study)
    own = asked_of(instruct, study, questions, base=False)
    works, judged = list(own.works), own.judged
    if own.collected:
        works.append(everyday(instruct, study, own.collected))
    pressing = pressed(instruct, study, own.collected)
    standard = [q for q in questions if q.part == "standard"]
    others, judged_there = _looked_back(study, [q for q in standard if q.split == "test"])
    works += [*pressing.works, *others]
    n_train, n_test = (max(2, sum(q.split == split for q in standard)) for split in ("train", "test"))
    pace = pace_of(instruct, int(np.median([w.width for w in works if w.width] or [32])), n_train, n_test)
    took = [_seconds_of(work, pace, study) for work in works]
    kept = next(w.n + w.kept for w in works if w.step == "contributions")
    rest = {
        "loading": (1 + bool(study.base) * (1 + len(study.checkpoints))) * pace.load,
        "probes": probes(instruct, kept, n_train, pace),
        "intervals": intervals(questions) * pace.draw,
    }
    works += [Work(step, n=1) for step in rest]
    calls = [(judged + judged_there, 16), (pressing.judged, 16), (len(questions) * study.judge_spans, 64)]
    models = 1 + bool(study.base) * (1 + bool(study.checkpoints))  # instruct, base, and a checkpoint at a time
    device, host = memory(instruct, works, kept, models)
    if instruct.device.type == "cpu":
        device = host = device + host
    return Plan(
        study,
        instruct.device.type,
        works,
        [*took, *rest.values()],
        instruct.weight_bytes,
        models,
        device,
        host,
        sum(n for n, _ in calls),
        dollars(study, questions, calls),
        sum(_seconds_of(work, pace, study) for work in pressing.further),
        pressing.further_judged,
    )


def _looked_back(study: Study, held_out: list[Question]) -> tuple[list[Work], int]:
    """What the base model and the checkpoints are asked, and how many of their answers a chat model judges; nothing
    without a base model."""
    if not study.base:
        return [], 0
    asked = [
        asked_of(WeightlessModel(name, study), study, held_out, base=True) for name in (study.base, *study.checkpoints)
    ]
    later = [list(some) for some in zip(*(one.works for one in asked[1:]), strict=True)]
    works = [replace(work, step=f"base: {work.step}") for work in asked[0].works]
    return [*works, *(total(f"checkpoints: {some[0].step}", some) for some in later)], sum(one.judged for one in asked)


def _seconds_of(work: Work, pace: Pace, study: Study) -> float:
    step = (pace.scaled if work.scaled else pace.write) / study.batch_rows
    return work.read * pace.read + work.written * step


def probes(model: WeightlessModel, n: int, n_train: int, pace: Pace) -> float:
    """Seconds of fitting: the inner products of the dense probe, as much as reading all rows a hundred times; a short
    path for each shuffle of the labels, as much as reading the training rows PATH_READS times and a few refits; and the
    refits of control sets."""
    neurons = model.n_layers * model.d_mlp
    shuffles = len(SELECTED_NAMES) * N_SELECTED
    path = _PATH_READS * 2 * 2 * n_train * neurons * pace.flop + _PATH_REFITS * pace.refit
    refits = (len(RANDOM_NAMES) * N_RANDOM_PROBES + shuffles) * pace.refit
    return (2 * n * n_train + 100 * 2 * n) * neurons * pace.flop + refits + shuffles * path


def intervals(questions: Sequence[Question]) -> int:
    """Over how many answers intervals are drawn, at most. On each test set, and on those standard test answers that
    nobody gave in training: those of every detector, and of the differences from control sets, each of which is read on
    every draw. The differences twice more on standard test answers, as they are first told and of everyday answers; and
    those from picks on shuffled labels on the base model's."""
    tests = Counter(q.part for q in questions if q.split == "test")
    controls = len(RANDOM_NAMES) * N_RANDOM_PROBES + len(SELECTED_NAMES) * N_SELECTED
    of_report = _OF_DETECTORS + controls + N_RANDOM_PROBES  # the last for the paper's own measure
    return of_report * (tests.total() + tests["standard"]) + (2 * controls + N_SELECTED) * tests["standard"]


def memory(model: WeightlessModel, works: Sequence[Work], n: int, models: int) -> tuple[float, float]:
    """Peak bytes of the model, and of what is kept beside it on the host."""
    config, size = model.text_config, dtype_of(model.study).itemsize
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    of_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    per_token = 2 * model.n_layers * heads * of_head * size
    per_token += model.heads * SCORE  # of the scores of the token that is written
    drawing = [w.rows * ((w.width + w.new) * per_token + config.vocab_size * _LOGIT) for w in works if w.new]
    pooled = 2 * len(REGIONS) * model.n_layers * model.d_mlp * 4
    activations = model.d_mlp * (2 * size + 8)
    reading_ = [w.rows * (pooled + w.width * activations) for w in works if w.rows and not w.new]
    scores = max((w.pairs for w in works), default=0) * model.heads * SCORE
    device = models * model.weight_bytes + max([*drawing, *reading_], default=0) + scores
    residual = 2 * n * model.n_layers * config.hidden_size * 4  # of the residual-stream probe, and standardised
    return device, residual + _LIBRARIES


def dollars(study: Study, questions: Sequence[Question], calls: Sequence[tuple[int, int]]) -> float | None:
    """At most, for calls that are each read once and write so many tokens; None if no price is known."""
    if study.judge_price is None:
        return None
    some = questions[:: max(1, len(questions) // 100)]
    materials = [{"question": q.text, "accepted answers": q.aliases, "response": "x" * 4 * ANSWER} for q in some]
    talks = [judging_talk(RUBRICS["answer"].task, material) for material in materials]
    read = np.mean([sum(len(m["content"]) for m in messages) for messages in talks]) / CHARACTERS_PER_TOKEN
    return float(sum(n * (read * study.judge_price[0] + new * study.judge_price[1]) for n, new in calls) / 1e6)

"""Real weights, fetched: what a number format, a prompt read once and a batch are worth, and what capture costs."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

import hn_utils as hn
from hn_utils.answers.asking import prompts_of, stop_of
from hn_utils.answers.examples import Example
from hn_utils.contributions.cett import mean_contributions
from hn_utils.models.generation import generate
from hn_utils.models.hooked_model import HookedModel
from hn_utils.questions.question import Question
from hn_utils.questions.real_world.asking import set_aside_questions
from hn_utils.study.presets import SHORT_EXAMPLES

WHICH = "qwen2.5-coder-1.5b"
_TIMES = 3  # each ratio, both sides in turn
_N_GENERATED = 8  # questions that plain `generate` answers: ten calls each


@dataclass(frozen=True)
class Weighed:
    """Ratios, each taken several times, questions a second (ten draws each), and gigabytes at most."""

    float32_to_bfloat16: list[float]
    apart_to_shared: list[float]
    generate_to_ours: list[float]
    capture_to_forward: list[float]
    questions_a_second: float
    host_gb: float


def weigh(which: str = WHICH) -> Weighed:
    """Measure all of it on one fetched model, whose files must lie ready."""
    model = hn.load(which, dtype="bfloat16")
    questions = set_aside_questions()
    plain = prompts_of(model.encoder, questions, model.study)
    shown = prompts_of(model.encoder, questions[:48], replace(model.study, examples=SHORT_EXAMPLES[:5]))
    some = plain[:128]
    start = time.perf_counter()
    _draw(model, some)
    pace = len(some) / (time.perf_counter() - start)
    shared = _in_turn(lambda: _draw(model, shown), lambda: [_draw(model, shown[i : i + 1]) for i in range(len(shown))])
    generated = _in_turn(lambda: _draw(model, plain[:_N_GENERATED]), lambda: _plainly(model, plain[:_N_GENERATED]))
    captured = _capture_to_forward(model, plain[:64], questions)
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    wide = hn.load(which, dtype="float32")
    formats = _in_turn(lambda: _draw(model, plain[:32]), lambda: _draw(wide, plain[:32]))
    return Weighed(formats, shared, generated, captured, pace, host)


def _draw(model: HookedModel, prompts: list[list[int]]) -> None:
    generate(model, prompts, model.study.sampling, stop=stop_of(model.encoder, model.study))


def _plainly(model: HookedModel, prompts: list[list[int]]) -> None:
    """Ten calls of Transformers' own `generate` for each prompt, with the same settings; no line break ends a reply."""
    sampling = model.study.sampling
    settings = {"temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p}
    for prompt in prompts:
        ids = torch.tensor([prompt], device=model.device)
        for _ in range(sampling.n):
            model.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                max_new_tokens=sampling.max_new_tokens,
                output_attentions=False,
                **settings,
            )


def _capture_to_forward(model: HookedModel, prompts: list[list[int]], questions: Sequence[Question]) -> list[float]:
    """What capture takes of the time of the same forward pass, of rows that share too little to be read apart."""
    rows = [prompt[-20:] for prompt in prompts]
    examples = [
        Example(question, row[:-1], row[-1:], "", 0, [len(row) - 1], 0.0)
        for question, row in zip(questions, rows, strict=False)
    ]
    ids, mask = model.encoder.pad(rows, "right", model.device)
    return _in_turn(lambda: model.final_hidden(ids, mask), lambda: mean_contributions(model, examples))


def _in_turn(first: Callable[[], object], second: Callable[[], object]) -> list[float]:
    """How many times as long the second takes, after one round of both to warm up."""
    ratios = []
    for place in range(1 + _TIMES):
        took = []
        for work in (first, second):
            start = time.perf_counter()
            work()
            took.append(time.perf_counter() - start)
        if place:
            ratios.append(took[1] / took[0])
    return np.round(ratios, 3).tolist()

"""How fast this machine is, from a probe of seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float

from hn_utils.answers.examples import Example
from hn_utils.contributions.cett import mean_contributions
from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.models.generation import generate
from hn_utils.models.hub import explained
from hn_utils.models.scaling import UNSCALED, Dose, dosed
from hn_utils.models.weightless import WeightlessModel, dtype_of
from hn_utils.probing.probe import refit
from hn_utils.questions.question import Question
from hn_utils.stats.bootstrap import beyond_random
from hn_utils.stats.metrics import auroc

_A_WHILE = 1.0  # seconds; what takes as long is not tried at a larger size
_A_FEW = 10  # neurons, or random sets of them
CPU = torch.device("cpu")
STEPS = 4  # tokens written while a step is timed
_SMALL = 256e6  # bytes of layers that the probe makes at most, but two layers at least


@dataclass(frozen=True)
class Pace:
    """Seconds that this machine takes for a token position that is read, for a step that writes a token in each of
    `batch_rows` rows, plainly and with scaled neurons, to make a model ready whose weights are in memory, for a
    floating-point operation outside the model, to refit a set of neurons, and for each answer that the interval of an
    AUROC is drawn over."""

    read: float
    write: float
    scaled: float
    load: float
    flop: float
    refit: float
    draw: float


def seconds(timed: Callable[[int], float], full: int) -> float:
    """What `timed(full)` tells, or would: from smaller sizes, in proportion, if to try it takes longer than A_WHILE."""
    timed(1)  # to warm up
    told, elapsed = {}, 0.0
    size = 1
    while size not in told and elapsed < _A_WHILE:
        start = perf_counter()
        told[size] = timed(size)
        elapsed, size = perf_counter() - start, min(full, 4 * size)
    if full in told:
        return float(np.median([told[full], *(timed(full) for _ in range(2 * (elapsed < _A_WHILE / 4)))]))
    if len(told) == 1:
        return told[1] * full
    (few, little), (most, much) = list(told.items())[-2:]
    return much + max(much - little, 0.0) / (most - few) * (full - most)


def _waited(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device has done it."""
    start = perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - start


def measured(model: WeightlessModel, depth: int, width: int) -> Float[np.ndarray, "4"]:
    """Seconds at this many layers: of a position that is read, of a step, plain and scaled, and to make the model
    ready."""
    start = perf_counter()
    subject, study, passes = model.shallow(depth), model.study, list[float]()
    ready = perf_counter() - start
    row = (subject.encoder.encode_text("a") * width)[:width]
    example = Example(Question("q", "?", ("a",), "e"), row[:-2], row[-2:], "", 1, [width - 2, width - 1], 0.0)
    other = replace(example, prompt_ids=[int(row[0] == 0), *row[1:-2]])  # begins otherwise: nothing is read just once
    dose = Dose(np.arange(0, depth * subject.d_mlp, max(1, subject.d_mlp // 8)), 2.0)
    subject.model.base_model.register_forward_pre_hook(lambda *_: passes.append(perf_counter()))

    def step(rows: int, doses: Sequence[Dose]) -> float:
        passes.clear()
        with dosed(subject, doses):
            generate(subject, [row] * rows, replace(study.sampling, n=1, max_new_tokens=STEPS))
        return float(np.median(np.diff(passes[1:])))  # the first pass reads the prompts

    def read(rows: int) -> float:
        return _waited(lambda: mean_contributions(subject, [other, *[example] * (rows - 1)]), subject.device)

    full = study.batch_rows
    return np.array(
        [
            seconds(read, full) / (full * width),
            seconds(lambda rows: step(rows, [UNSCALED]), full),
            seconds(lambda rows: step(rows, [dose] * rows), full),
            ready,
        ]
    )


def statistics(n_train: int, n_test: int) -> tuple[float, float]:
    """Seconds to refit A_FEW neurons on so many training answers, and to draw an interval over so many test answers,
    for each of these: by what random neurons take."""
    X, y = np.random.default_rng(0).random((2 * n_train, _A_FEW)), np.arange(2 * n_train) % 2
    fitted = seconds(lambda _: _waited(lambda: refit(TallMatrix([X]), y, np.arange(_A_FEW)), CPU), 1)
    sets, labels = np.random.default_rng(1).random((n_test, _A_FEW)), np.arange(n_test) % 2
    drawn = seconds(lambda _: _waited(lambda: beyond_random(auroc, labels, sets, np.arange(n_test), labels), CPU), 1)
    return fitted, drawn / (_A_FEW * n_test)


def pace_of(model: WeightlessModel, width: int, n_train: int, n_test: int) -> Pace:
    """Measured on two depths, unless all layers are few, and drawn out in proportion to the layers; statistics on as
    many answers as there may be."""
    per_layer = 3 * model.d_mlp * model.text_config.hidden_size * dtype_of(model.study).itemsize
    depth = int(min(model.n_layers, max(2, _SMALL // per_layer)))
    try:
        deep = measured(model, depth, width)
        if depth < model.n_layers:
            shallow = measured(model, 1, width)
            deep = deep + np.maximum(deep - shallow, 0) / (depth - 1) * (model.n_layers - depth)
    except (RuntimeError, MemoryError) as error:
        raise OSError(f"could not measure {depth} layers of {model.name!r} here {explained(error)}") from error
    square = torch.ones(1024, 1024)
    flop = seconds(lambda _: _waited(lambda: square @ square, CPU), 1) / (2 * 1024**3)
    read, write, scaled, load = deep.tolist()
    fitted, drawn = statistics(n_train, n_test)
    return Pace(read, write, scaled, load, flop, fitted, drawn)

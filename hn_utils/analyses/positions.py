"""Where is it known? Detection at every position, from the name's last token to the answer's last.

The paper reads at the answer. This shows what that choice does: at each position H-Neurons are found anew, beside what
shuffled labels pick, a dense probe, and how sure the model is of the token that follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hn_utils.answers.examples import Example, NothingConsistent
from hn_utils.answers.spans import find_phrase, positions_in, token_offsets
from hn_utils.contributions.cett import EXAMPLES_PER_SHARD, Contributions, contribution
from hn_utils.contributions.collect import ask_base
from hn_utils.contributions.collected import MIN_TO_TRAIN, Collected
from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.models.checks import require_finite
from hn_utils.models.hooked_model import HookedModel
from hn_utils.probing.against_random import AgainstRandom
from hn_utils.probing.baselines import coordinates, l2_probe
from hn_utils.probing.find import fit_on
from hn_utils.probing.probe import NoHNeurons
from hn_utils.questions.question import SPLITS
from hn_utils.stats.bootstrap import Estimate, bootstrap
from hn_utils.stats.metrics import auroc
from hn_utils.storage.cache import cached
from hn_utils.storage.stages import register_stage

if TYPE_CHECKING:
    from hn_utils.models.prompt_encoder import PromptEncoder

VERSION = register_stage("positions", 2)
_MOST_BEFORE = 6  # tokens between question and answer that are shown
_MOST_WITHIN = 6  # tokens of the answer that are shown
N_SETS = 20
NONE = -1


@dataclass(frozen=True)
class Position:
    """One place in every prompt and response: what stands there, and its index in each example (NONE: it has none)."""

    name: str
    at: np.ndarray


@dataclass(frozen=True)
class AtPosition:
    """AUROC, on test people, of what can be read at one position; `n` test answers have it.

    `h_neurons` are found there anew and refitted; `random` holds sets of as many neurons that the same procedure picks
    there on shuffled labels, `beyond` is the difference from their mean; `dense` a probe on all neurons; `confidence`
    the log-probability of the likeliest next token. `h_neurons`, `random` and `beyond` are None where no neuron has a
    positive weight.
    """

    name: str
    n: int
    n_neurons: int
    h_neurons: Estimate | None
    random: Float[np.ndarray, "set"] | None
    beyond: Estimate | None
    dense: Estimate
    confidence: Estimate


def name_positions(encoder: PromptEncoder, example: Example) -> list[int]:
    """Find the tokens that name whom or what is asked about.

    Args:
        encoder: of the model that gave the answer.
        example: the answer, with the ids of its prompt.

    Returns:
        Their places in the prompt, in order; none if the question does not name it.
    """
    offsets = token_offsets(encoder, example.prompt_ids)
    found = find_phrase(encoder.decode(example.prompt_ids), [example.question.entity])
    return list(positions_in(offsets, *found)) if found else []


def common_ending(prompts: Sequence[Sequence[int]]) -> int:
    """How many last tokens all prompts share.

    Args:
        prompts: token ids of each.

    Returns:
        At most the length of the shortest one.
    """
    n = 0
    while n < min(map(len, prompts)) and len({prompt[-1 - n] for prompt in prompts}) == 1:
        n += 1
    return n


def positions(encoder: PromptEncoder, examples: Sequence[Example]) -> list[Position]:
    """The name's last token, the last tokens that all prompts share, and the answer's tokens, in order.

    Args:
        encoder: of the model that gave the answers.
        examples: answers with the ids of prompt and response.

    Returns:
        Places, each with its index in every example as [example], counted from the start of the prompt; NONE where an
        example does not have it.
    """
    ends = np.array([len(e.prompt_ids) for e in examples])
    shared = min(common_ending([e.prompt_ids for e in examples]), _MOST_BEFORE)
    found = [Position("name", np.array([max(name_positions(encoder, e), default=NONE) for e in examples]))]
    for back in range(shared, 0, -1):
        token = encoder.tokenizer.convert_ids_to_tokens(examples[0].prompt_ids[-back])
        found.append(Position(token if back > 1 else "before the answer", ends - back))
    longest = max(len(e.answer) for e in examples)
    for k in range(min(longest, _MOST_WITHIN)):
        at = [e.answer[k] if k < len(e.answer) else NONE for e in examples]
        found.append(Position(f"answer {k + 1}", np.array(at)))
    return found


def read_rows(
    subject: HookedModel, rows: Sequence[Sequence[int]], at: np.ndarray
) -> tuple[Float[np.ndarray, "example layer_neuron"], Float[np.ndarray, "example"]]:
    """Contributions of all neurons at one position of each row, and the log-probability of the likeliest next token
    there.

    Args:
        subject: the model that is read.
        rows: token ids of prompt and response, [example] of any length.
        at: the position in each row, as [example].

    Returns:
        Contributions as [example, layer_neuron] in float16 without unit, layer by layer; log-probabilities as
        [example], in nats.

    Raises:
        ValueError: if a contribution is not finite.

    Source:
        Contribution (CETT): Gao et al. 2025, sections 2 and 6.1, at one token instead of the mean over the answer.
    """
    read = []
    for piece in subject.pieces(rows):
        with subject.batch_holds(piece, len(rows)):
            read.append(_read_together(subject, rows[piece], at[piece]))
    values, confidence = zip(*read, strict=True)
    return np.concatenate(values), np.concatenate(confidence)


def _read_together(
    subject: HookedModel, rows: Sequence[Sequence[int]], at: np.ndarray
) -> tuple[Float[np.ndarray, "example layer_neuron"], Float[np.ndarray, "example"]]:
    """`read_rows` of rows that are read at once."""
    ids, mask = subject.encoder.pad(rows, "right", subject.device)
    pooled = torch.zeros(len(rows), subject.n_layers, subject.d_mlp)
    fired: dict[int, Tensor] = {}

    def one(values: Tensor) -> Tensor:
        return values[torch.arange(len(rows)), torch.as_tensor(at)]  # [example, ...]

    def keep(layer: int, post: Tensor) -> None:
        fired[layer] = one(post)

    def weigh(layer: int, mlp_out: Tensor) -> None:
        norms = subject.column_lengths(layer).to(mlp_out.device)
        pooled[:, layer] = contribution(fired.pop(layer), norms, one(mlp_out)).cpu()

    with subject.hooked(post=keep, mlp_out=weigh):
        final = one(subject.final_hidden(ids, mask))
    values = pooled.flatten(1)  # [example, layer_neuron]
    require_finite(values, subject.name, "what its neurons contribute")
    return values.numpy().astype(np.float16), subject.logits(final).log_softmax(-1).amax(-1).cpu().numpy()


@dataclass(frozen=True)
class Here:
    """The answers that have a position, with its contributions in place of the answer's, and `confidence`, the
    log-probability (nats) of the likeliest next token there."""

    answers: Collected
    confidence: np.ndarray


def _read_here(collected: Collected, place: Position) -> Here:
    """Read one position of every kept example that has it, or from disk where that was done before; what was read
    stays on disk, as contributions do."""
    subject = collected.subject
    has = np.flatnonzero(place.at != NONE)
    examples = [collected.kept[i] for i in has]
    at = place.at[has]
    at_once = min(collected.study.batch_rows, EXAMPLES_PER_SHARD)

    def compute(some: list[int]) -> dict[str, np.ndarray]:
        batches = [some[start : start + at_once] for start in range(0, len(some), at_once)]
        read = [read_rows(subject, [examples[i].ids for i in batch], at[batch]) for batch in batches]
        values, confidence = zip(*read, strict=True)
        return {"values": np.concatenate(values), "sure": np.concatenate(confidence)}  # names on disk

    keys = [(e.ids, int(p)) for e, p in zip(examples, at, strict=True)]
    lengths = [len(e.ids) for e in examples]
    kept = cached("positions", subject.key(VERSION), keys, compute, EXAMPLES_PER_SHARD, lengths)
    values = TallMatrix([shard["values"] for shard in kept.shards], kept.where)
    regions = {"answer": values, "other": collected.contributions[has].at("other")}
    read = Contributions(regions, subject.n_layers, subject.d_mlp)
    return Here(replace(collected, examples=examples, contributions=read), kept.array("sure"))


def _found_here(
    answers: Collected, train: np.ndarray, validation: np.ndarray, test: np.ndarray
) -> tuple[int, Estimate | None, Float[np.ndarray, "set"] | None, Estimate | None]:
    """How many H-Neurons there are at a position, their AUROC refitted, that of each control set, the difference."""
    try:
        neurons = fit_on(answers, train, validation).fit.h_neurons
    except NoHNeurons:
        return 0, None, None, None
    compared = AgainstRandom.fit(answers, train, neurons, N_SETS).on(answers.labelled(test, "answer"))
    return len(neurons), compared.own, compared.sets, compared.beyond


def at_every_position(collected: Collected) -> list[AtPosition]:
    """The curve over positions, for the standard questions.

    Args:
        collected: judged answers of a model.

    Returns:
        AUROC of H-Neurons found there, their control, a dense probe and confidence at each position, in the order of
        the text. Positions that too few answers have are left out.

    Source:
        Gao et al. 2025, section 6.1, read the mean over the answer's tokens; the curve is this project's own.

    A high AUROC before the answer says that it can be told there, not that the model uses it there.
    """
    standard = np.flatnonzero([example.question.part == "standard" for example in collected.kept])
    examples = [collected.kept[i] for i in standard]
    collected = replace(collected, examples=examples, contributions=collected.contributions[standard])
    curve = []
    for place in positions(collected.subject.encoder, examples):
        if (place.at == NONE).all():
            continue
        here = _read_here(collected, place)
        splits = [here.answers.labels[here.answers.rows(split)] for split in SPLITS]
        if min(np.bincount(labels, minlength=2).min() for labels in splits) >= MIN_TO_TRAIN:
            curve.append(at_position(place.name, here))
    return curve


def at_every_position_of_base(collected: Collected) -> list[AtPosition]:
    """The same curve for the study's base model, asked the same questions.

    Args:
        collected: judged answers of the instruct model, whose study names the base model.

    Returns:
        As `at_every_position`; empty if the base model answers nothing consistently.

    Raises:
        ValueError: if the base model cannot be used, as `HookedModel.load` says.
        OSError: if it cannot be found or read.
    """
    base = HookedModel.load(collected.study.base, collected.study)
    try:
        return at_every_position(ask_base(base, collected, tuple(SPLITS)))
    except NothingConsistent:
        return []


def at_position(name: str, here: Here) -> AtPosition:
    """H-Neurons, their control, a dense probe and confidence at one position.

    Args:
        name: what stands at the position.
        here: the answers that have it, with what was read there.

    Returns:
        AUROC of each (0 to 1, intervals over entities); of H-Neurons None where no neuron has a positive weight.
    """
    answers = here.answers
    train = answers.training_rows()
    validation = answers.rows("validation")
    test = answers.rows("test")
    labels = answers.labels
    people = answers.entities
    _, dense = l2_probe(coordinates(answers.contributions.at("answer"), train), labels, train, validation)
    return AtPosition(
        name,
        len(test),
        *_found_here(answers, train, validation, test),
        bootstrap(auroc, labels[test], dense[test], groups=people[test]),
        bootstrap(auroc, labels[test], -here.confidence[test], groups=people[test]),
    )

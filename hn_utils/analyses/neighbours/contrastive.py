"""CNS-style steering, by analogy only: contrastive neuron steering (arXiv 2602.00621) acts on a sparse autoencoder's
latents of images, of which formula and code are not public; here is neither vision nor an autoencoder.

What is taken over is the idea. A question is read as it is, and with noise on the embeddings of the *name* alone. A
neuron whose write falls with the noise answers to who is asked about; one that is among the strongest at every question
is *always on*, and set aside. Then the first are pushed further the way in which the noise did not go, those that noise
brings up are silenced, and the question is whether the model is surer of the truth, more than by pushing random neurons
as far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hn_utils.analyses.neighbours.options import Options, last_logits, mean_truth_share, options_of, truth_share
from hn_utils.analyses.positions import name_positions
from hn_utils.models.checks import require_reading_mode
from hn_utils.models.hook_points import Point, hooked_at
from hn_utils.stats.bootstrap import spread
from hn_utils.stats.neuron_sets import Match, loud_sets, random_sets
from hn_utils.stats.rank_test import two_sided_rank_p
from hn_utils.stats.tables import Tabled

if TYPE_CHECKING:
    from hn_utils.answers.examples import Example
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.probing.find import Found

N_QUESTIONS = 60
_N_PROXIES = 5
_N_NOISES = 5
_STRONGEST = 20  # writes of a question among which an always-on neuron is, at every question
_N_KEPT = 10  # neurons that are pushed, and as many at most that are silenced
_PUSHES = (1.0, 2.0, 4.0)
_N_RANDOM = 20


class Contrast(NamedTuple):
    """Flat indices: neurons that answer to the name (the strongest first), that noise brings up, and always-on ones."""

    entity: Int[np.ndarray, "some"]
    noise: Int[np.ndarray, "some"]
    always_on: Int[np.ndarray, "some"]


@dataclass(frozen=True, repr=False)
class Contrastive(Tabled):
    """What pushing the neurons that answer to the name does to the probability of the truth.

    Attributes:
        contrast: the neurons.
        pushes: how many times the fall by noise is added.
        untouched: mean probability of the truth among its rivals, on test questions.
        own: the same at each push, [push].
        random: the same for random neurons of the same layers that are pushed as far while others, as loud, are
            silenced, [set, push].
    """

    contrast: Contrast
    pushes: tuple[float, ...]
    untouched: float
    own: Float[np.ndarray, "push"]
    random: Float[np.ndarray, "set push"]

    @property
    def neurons(self) -> Int[np.ndarray, "some"]:
        """Neurons that are pushed or silenced, flat indices in rising order."""
        return np.sort(np.concatenate([self.contrast.entity, self.contrast.noise]))

    @property
    def p(self) -> list[float]:
        """Two-sided p of the neurons' rank among random ones at each push; uncorrected."""
        return [two_sided_rank_p(own, column) for own, column in zip(self.own, self.random.T, strict=True)]

    @property
    def headline(self) -> str:
        """The probability of the truth at the largest push, beside random neurons."""
        random = spread(self.random[:, -1], len(self.random))
        return (
            f"Pushed {self.pushes[-1]:g} times, {len(self.contrast.entity)} neurons take the probability of the truth "
            f"from {self.untouched:.2f} to {self.own[-1]:.2f}, random ones to {random} (p = {self.p[-1]:.3f}); "
            f"{len(self.contrast.always_on)} always-on neurons were set aside"
        )

    @property
    def table(self) -> pd.DataFrame:
        """A row a push: mean probability of the truth."""
        return pd.DataFrame(
            {
                "push": self.pushes,
                "probability of the truth": self.own,
                "change": self.own - self.untouched,
                "random neurons": [spread(column, len(column)) for column in self.random.T],
                "rank p": self.p,
            }
        )


def contrast(
    clean: Float[np.ndarray, "question neuron"],
    noised: Float[np.ndarray, "question neuron"],
    n: int,
    n_strongest: int = _STRONGEST,
) -> Contrast:
    """Sort neurons by what noise on the name does to them.

    Args:
        clean: what each neuron writes (with sign) at the last token of each question, in one unit for all neurons.
        noised: the same with noise on the name.
        n: how many are kept of either kind, at most.
        n_strongest: a neuron that is among so many strongest at every question is always on.

    Returns:
        Neurons whose write the name raises most, neurons that noise raises most, and those that are always on, which
        are in neither.

    Raises:
        ValueError: `n_strongest` is not below the number of neurons.
    """
    if not 0 < n_strongest < clean.shape[1]:
        raise ValueError(f"n_strongest={n_strongest} must lie between 1 and {clean.shape[1] - 1}")
    strongest = np.argpartition(-np.abs(clean), n_strongest, axis=1)[:, :n_strongest]  # [question, strongest]
    times = np.bincount(strongest.ravel(), minlength=clean.shape[1])
    always = np.flatnonzero(times == len(clean))
    fall = (clean - noised).mean(0)  # [neuron]
    fall[always] = 0
    order = np.argsort(-fall, kind="stable")
    entity, noise = order[:n], order[::-1][:n]
    return Contrast(entity[fall[entity] > 0], noise[fall[noise] < 0], always)


def push_names(
    found: Found,
    *,
    n_questions: int = N_QUESTIONS,
    sigma: float = 1.0,
    n: int = _N_KEPT,
    pushes: Sequence[float] = _PUSHES,
) -> Contrastive | None:
    """Find neurons that answer to the name, and push them on other questions.

    Args:
        found: the H-Neurons, for the questions that they were found on.
        n_questions: training questions on which neurons are sorted, and test questions on which they are pushed.
        sigma: of the noise on the name, in standard deviations of the names' embeddings.
        n: neurons that are pushed, and as many at most that are silenced.
        pushes: how many times each question's own fall by noise is added.

    Returns:
        The neurons, and what pushing them does, beside random neurons of the same layers whose writes are changed by
        the same lengths, while others are silenced that are as loud. None if no training or no test question has rivals
        and names what it is about.

    Raises:
        ValueError: `sigma` is not above 0, or the model is in training mode.

    Source:
        By analogy to arXiv 2602.00621 alone; see above.
    """
    if not sigma > 0:
        raise ValueError(f"sigma={sigma} must be above 0: it is how large the noise is")
    model, collected = found.subject, found.collected
    require_reading_mode(model.model, model.name)
    seed = collected.study.seed
    sorted_on, tested = (
        _named(model, options_of(collected, split, n_questions, _N_PROXIES, seed=seed)) for split in ("train", "test")
    )
    if sorted_on is None or tested is None:
        return None
    kept = contrast(*writes(model, sorted_on.examples, sigma, seed), n)
    clean, noised = writes(model, tested.examples, sigma, seed + 1)
    fall = clean - noised  # [question, layer_neuron]
    lengths = model.w_out_norm.flatten().cpu().numpy()

    entity = np.sort(kept.entity)  # as random sets are, so that each neuron's stand-in is of its layer

    def shares(some: Int[np.ndarray, "some"], noise: Int[np.ndarray, "others"]) -> Float[np.ndarray, "push"]:
        added = fall[:, entity] / lengths[some]  # [question, some]
        return np.array([_pushed(model, tested, some, push * added, noise) for push in pushes])

    shape = found.card.shape
    stand_ins = random_sets(entity, shape, _N_RANDOM, Match("layer"), seed + 2)
    silenced = loud_sets(kept.noise, shape, found.magnitude, _N_RANDOM, seed + 3)
    random = np.stack([shares(*pair) for pair in zip(stand_ins, silenced, strict=True)])
    untouched = mean_truth_share(model, tested)
    return Contrastive(kept, tuple(pushes), untouched, shares(entity, kept.noise), random)


def _named(model: HookedModel, options: Options | None) -> Options | None:
    """The questions that name what they are about, so that there is a name to put noise on; None if none does."""
    if options is None:
        return None
    named = np.array([bool(name_positions(model.encoder, example)) for example in options.examples])
    if not named.any():
        return None
    return Options([e for e, has in zip(options.examples, named, strict=True) if has], options.tokens[named])


@torch.inference_mode()
def writes(
    model: HookedModel, examples: Sequence[Example], sigma: float, seed: int
) -> tuple[Float[np.ndarray, "question layer_neuron"], Float[np.ndarray, "question layer_neuron"]]:
    """What every neuron writes at the last token of each question, as it is and with noise on the name.

    Args:
        model: the model.
        examples: the questions, each of which names what it is about.
        sigma: of the noise, in standard deviations of the names' embeddings.
        seed: of the noise.

    Returns:
        Activation times length of the write, with its sign; the second is a mean over draws of noise.
    """
    generator = torch.Generator().manual_seed(seed)
    prompts = [example.prompt_ids for example in examples]
    clean: list[np.ndarray] = []
    noised: list[np.ndarray] = []
    for piece in model.pieces(prompts):
        rows = prompts[piece]
        width = max(len(row) for row in rows)
        on_name = torch.zeros(len(rows), width, 1)
        for i, example in enumerate(examples[piece]):
            places = np.array(name_positions(model.encoder, example)) + width - len(rows[i])  # padded on the left
            on_name[i, places] = 1
        clean.append(_writes_once(model, rows, on_name, 0.0, generator))
        drawn = [_writes_once(model, rows, on_name, sigma, generator) for _ in range(_N_NOISES)]
        noised.append(np.mean(drawn, axis=0))
    return np.concatenate(clean), np.concatenate(noised)


def _writes_once(
    model: HookedModel,
    rows: Sequence[Sequence[int]],
    on_name: Float[Tensor, "question pos one"],
    sigma: float,
    generator: torch.Generator,
) -> Float[np.ndarray, "question layer_neuron"]:
    """`writes` of rows that are read at once, with one draw of noise."""
    fired: dict[int, Tensor] = {}

    def add(_: int, values: Tensor) -> Tensor:
        there = on_name.to(values)
        spread_of_names = values[there[..., 0].bool()].float().std().to(values)
        noise = torch.randn(values.shape, generator=generator).to(values)
        return values + sigma * spread_of_names * noise * there

    def keep(layer: int, post: Tensor) -> None:
        fired[layer] = post[:, -1].float().cpu()  # [question, neuron]

    with hooked_at(model, Point.EMBEDDINGS, add), model.hooked(post=keep):
        last_logits(model, rows)
    together = torch.stack([fired[layer] for layer in range(model.n_layers)], 1)  # [question, layer, neuron]
    return (together * model.w_out_norm.cpu()).flatten(1).numpy()


@torch.inference_mode()
def _pushed(
    model: HookedModel,
    options: Options,
    entity: Int[np.ndarray, "some"],
    added: Float[np.ndarray, "question some"],
    noise: Int[np.ndarray, "others"],
) -> float:
    """Mean probability of the truth with something added to some neurons at the last token, and others silenced
    there."""
    shares: list[Tensor] = []
    for piece in model.pieces(options.prompts):

        def push(layer: int, post: Tensor, own: np.ndarray = added[piece]) -> Tensor:
            changed = post.clone()
            pushed = entity // model.d_mlp == layer
            changed[:, -1, entity[pushed] % model.d_mlp] += torch.as_tensor(own[:, pushed]).to(post)
            changed[:, -1, noise[noise // model.d_mlp == layer] % model.d_mlp] = 0
            return changed

        with model.hooked(post=push):
            logits = last_logits(model, options.prompts[piece])
        shares.append(truth_share(logits, options.tokens[piece]))
    return float(torch.cat(shares).mean())

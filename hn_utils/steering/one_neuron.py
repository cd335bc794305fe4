"""What does one neuron do? Where it contributes, what it writes, what turning it changes, and which are like it.

Every number stands beside the same number of the neurons of its layer that are nearest to it in loudness (mean
contribution): a reader sees whether anything about this one is special, or whether any loud neuron looks so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, get_args

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hn_utils.answers.asking import as_base
from hn_utils.contributions.cett import token_contributions
from hn_utils.models.activations import activations_of
from hn_utils.models.likeness import Weights, weight_cosines
from hn_utils.models.neurons import Neurons, neuron_indices
from hn_utils.models.scaling import UNSCALED, Dose
from hn_utils.models.studied_model import LOADED, StudiedModel
from hn_utils.probing.given_neurons import GivenNeurons, given_neurons
from hn_utils.probing.stability import correlations
from hn_utils.questions.items import Item, plain_item
from hn_utils.questions.question import SPLITS
from hn_utils.stats.bootstrap import Estimate, bootstrap, spread
from hn_utils.stats.drawn import figure_of
from hn_utils.stats.metrics import auroc, mean
from hn_utils.stats.neuron_sets import Control, control_of, nearest_in_loudness
from hn_utils.stats.tables import Tabled, counted
from hn_utils.steering.answer_loss import answer_loss
from hn_utils.steering.graded import log_odds
from hn_utils.study import check_given

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from hn_utils.contributions.collected import Collected
    from hn_utils.models.hooked_model import HookedModel

_TURNED = {"ablated": 0.0, "doubled": 2.0}
_LABELS = {0: "right", 1: "hallucinated"}
_BESIDE = "nearest in loudness"
_CONTEXT = 5  # tokens that are shown up to the one at which a neuron contributes most


class Measured(NamedTuple):
    """One number of a neuron, and the same of each of its controls; `matched` says that these were chosen for being
    alike in this very number."""

    name: str
    own: Estimate
    controls: Float[np.ndarray, "control"]
    matched: bool = False

    @property
    def above(self) -> float:
        """The share of the controls that it lies above, ties counting half."""
        return float(np.mean((self.controls < self.own.value) + 0.5 * (self.controls == self.own.value)))

    @property
    def is_outermost(self) -> bool:
        """Whether it lies beyond all controls, on either side."""
        return bool((self.own.value > self.controls).all() or (self.own.value < self.controls).all())


@dataclass(frozen=True, repr=False)
class Neuron(Tabled):
    """One neuron of a model, read on the answers that the model gave.

    What takes a while is computed when it is first asked for. Numbers of answers have an interval over entities; those
    of weights alone are exact, and their interval is the number itself.

    Attributes:
        answers: the model's judged answers.
        layer: the neuron's layer.
        index: its number within the layer.
        rows: the places among the kept answers on which it is read.
        region: where contributions are read, such as `answer`.
        n_controls: how many neurons of its layer stand beside it.
        read_on: the places of those answers on which it is turned, as many right as hallucinated.
        found_in: by the name of a search for H-Neurons, whether it found this neuron.
        by_chance: how many of these searches would hold a random neuron of the model, on average.
    """

    answers: Collected
    layer: int
    index: int
    rows: Int[np.ndarray, "answer"]
    region: str
    n_controls: int
    read_on: Int[np.ndarray, "some"]
    found_in: Mapping[str, bool]
    by_chance: float

    @property
    def model(self) -> HookedModel:
        """The model whose neuron it is."""
        return self.answers.subject

    @property
    def flat(self) -> int:
        """Its flat index, layer * d_mlp + neuron."""
        return self.layer * self.model.d_mlp + self.index

    # --- where it contributes --------------------------------------------------------------------------------------

    @property
    def labels(self) -> Int[np.ndarray, "answer"]:
        """Of each answer: 1 for hallucinated, 0 for right."""
        return self.answers.labels[self.rows]

    @cached_property
    def contributions(self) -> Float[np.ndarray, "answer"]:
        """Its mean contribution at each answer, in percent of its layer's output."""
        return self._read(self.region, np.array([self.flat]))[:, 0]

    @cached_property
    def elsewhere(self) -> Float[np.ndarray, "answer"]:
        """Its mean contribution at each answer's other tokens, in percent of its layer's output."""
        return self._read("other", np.array([self.flat]))[:, 0]

    @cached_property
    def auroc(self) -> Estimate:
        """How well its contribution alone orders answers: above 0.5 it is larger at hallucinated ones."""
        return bootstrap(auroc, self.labels, self.contributions, groups=self._entities)

    def strongest_rows(self, n: int) -> Int[np.ndarray, "n"]:
        """The answers to which it contributes most.

        Args:
            n: how many, at most.

        Returns:
            Places in `rows`, the strongest first.
        """
        return np.argsort(-self.contributions, kind="stable")[:n]

    def strongest(self, n: int = 6) -> pd.DataFrame:
        """The answers to which it contributes most, and where in question and answer it does.

        Args:
            n: how many, at most.

        Returns:
            A row an answer: what was asked and said, whether that was right, its mean contribution at the answer, and
            the few tokens up to the one at which it contributes most, with its contribution there, in percent of the
            layer's output. The first token of all is left out. The few strongest of many answers are no sample of
            what it does.
        """
        chosen = self.strongest_rows(n)
        examples = [self.answers.kept[row] for row in self.rows[chosen]]
        read = token_contributions(self.model, [example.ids for example in examples], np.array([self.flat]))
        rows = []
        for place, example, values in zip(chosen.tolist(), examples, read, strict=True):
            peak = 1 + int(values[1:, 0].argmax())
            rows.append(
                {
                    "question": example.question.text,
                    "answer": example.text,
                    "label": _LABELS[int(self.labels[place])],
                    "contribution, %": float(self.contributions[place]),
                    "most at": self.model.encoder.decode(example.ids[max(0, peak + 1 - _CONTEXT) : peak + 1]),
                    "contribution there, %": 100 * float(values[peak, 0]),
                }
            )
        return pd.DataFrame(rows)

    # --- what it writes --------------------------------------------------------------------------------------------

    def tokens(self, n: int = 6) -> pd.DataFrame:
        """The tokens whose logits its write raises and lowers most, where it fires with 1.

        Args:
            n: how many of either kind.

        Returns:
            A row a rank; effects in standard deviations over the vocabulary. It is the direct path alone: what later
            layers make of the write is not in it. Where the neuron fires negatively it does the opposite: see
            `positive`.
        """
        effect = self._direct_effect(self.flat)
        order = np.argsort(-effect, kind="stable")
        rows = []
        for up, down in zip(order[:n].tolist(), order[::-1][:n].tolist(), strict=True):
            rows.append(
                {
                    "raised": self.model.encoder.word(up),
                    "raised by, sd": float(effect[up]),
                    "lowered": self.model.encoder.word(down),
                    "lowered by, sd": float(effect[down]),
                }
            )
        return pd.DataFrame(rows)

    @cached_property
    def positive(self) -> Float[np.ndarray, "answer neuron"]:
        """Of the answers `read_on`, the share of tokens at which this neuron, and then each control, fires above 0."""
        examples = [self.answers.kept[row] for row in self.read_on]
        read = activations_of(self.model, [example.ids for example in examples], self._with_controls)
        shares = [(values[example.answer] > 0).mean(0) for example, values in zip(examples, read, strict=True)]
        return np.array(shares)

    def _direct_effect(self, flat: int) -> Float[np.ndarray, "vocab"]:
        """Direct logit effect, its level taken off, in standard deviations: lengths say nothing behind the norm."""
        effect = self.model.direct_logit_effect(*divmod(flat, self.model.d_mlp)).cpu().numpy()  # [vocab]
        return (effect - effect.mean()) / effect.std()

    # --- which are like it -----------------------------------------------------------------------------------------

    def similar(self, n: int = 5) -> pd.DataFrame:
        """The neurons most like it, by what they write, by what they read, and by when they contribute.

        Args:
            n: how many by each measure.

        Returns:
            A row a neuron: cosine of weights, or Pearson's r of contributions over the answers, beside what the neurons
            nearest in loudness reach at most, in the median. The largest of many such numbers is high by chance.
        """
        rows = []
        for name, values in self._likeness.items():
            usual = float(np.median(np.abs(values[1:]).max(1)))
            for flat in np.argsort(-np.abs(values[0]), kind="stable")[:n].tolist():
                layer, index = divmod(flat, self.model.d_mlp)
                rows.append(
                    {"by": name, "layer": layer, "neuron": index, "likeness": values[0, flat], "usual largest": usual}
                )
        return pd.DataFrame(rows)

    @cached_property
    def _likeness(self) -> dict[str, Float[np.ndarray, "neuron layer_neuron"]]:
        """Of it, and then of each control, likeness to every neuron; 0 to itself."""
        own = self._with_controls
        found = {f"cosine of {name}": weight_cosines(self.model, own, name) for name in get_args(Weights)}
        found["r of contributions"] = correlations(self.answers.contributions[self.rows].at(self.region), own)
        for values in found.values():
            values[np.arange(len(own)), own] = 0
        return found

    # --- what turning it changes -----------------------------------------------------------------------------------

    @cached_property
    def loss_changes(self) -> dict[str, Float[np.ndarray, "answer neuron"]]:
        """By `ablated` and `doubled`, what this does to the loss of the answers `read_on`, in nats per token: for this
        neuron, and then for each control, turned so far that it changes as much."""
        examples = [self.answers.kept[row] for row in self.read_on]
        return self._changes(answer_loss(self.model, examples, self._doses, self.answers.study))

    @cached_property
    def odds_changes(self) -> dict[str, Float[np.ndarray, "answer neuron"]]:
        """By `ablated` and `doubled`, what this does to the log-odds of the hallucinated answers against the truth, in
        nats, as `loss_changes`. Empty for a base model, which is asked in another way, and where no truth is known."""
        items = [] if as_base(self.model.encoder, self.answers.base) else list(self._items)
        if not items:
            return {}
        return self._changes(log_odds(self.model, items, self._doses, self.answers.study))

    @cached_property
    def _items(self) -> list[Item]:
        """The hallucinated answers as claims, against their questions' truth."""
        items = []
        for row in self.read_on:
            example = self.answers.kept[row]
            if example.label and example.question.aliases:
                claim = self.model.encoder.decode([example.ids[place] for place in example.answer]).strip()
                items.append(replace(plain_item(example.question, self.answers.study), claim=claim))
        return [item for item in items if item.claim]

    @property
    def _doses(self) -> list[Dose]:
        """Unscaled; then every neuron ablated, and each doubled. A quieter control is turned further, if it can."""
        doses = [UNSCALED]
        for alpha in _TURNED.values():
            doses.append(Dose(np.array([self.flat]), alpha))
            doses += [Dose(control.neurons, control.alpha(alpha)) for control in self.controls]
        return doses

    def _changes(self, values: Float[np.ndarray, "row dose"]) -> dict[str, Float[np.ndarray, "row neuron"]]:
        change = values[:, 1:] - values[:, :1]
        return dict(zip(_TURNED, np.split(change, len(_TURNED), axis=1), strict=True))

    # --- all of it beside its controls -----------------------------------------------------------------------------

    @property
    def _entities(self) -> np.ndarray:
        return self.answers.entities[self.rows]

    @cached_property
    def controls(self) -> list[Control]:
        """The neurons of its layer that are nearest in loudness, each with its loudness over this one's. Of the loudest
        neuron of a layer the nearest are all quieter."""
        given = GivenNeurons(np.array([self.flat]), self.answers, self.region)
        nearest = nearest_in_loudness(self.flat, given.shape, given.magnitude, self.n_controls)
        return [control_of(np.array([other]), given.neurons, given.magnitude) for other in nearest]

    @property
    def _with_controls(self) -> Int[np.ndarray, "neuron"]:
        """This neuron, then its controls."""
        return np.array([self.flat, *(int(control.neurons[0]) for control in self.controls)])

    def _read(self, region: str, neurons: Int[np.ndarray, "k"]) -> Float[np.ndarray, "answer k"]:
        """Contributions of some neurons, in percent."""
        return 100 * self.answers.contributions[self.rows].at(region).columns(neurons)

    @cached_property
    def measured(self) -> list[Measured]:
        """Every number of the table."""
        at_answer = self._read(self.region, self._with_controls)
        other = self._read("other", self._with_controls)
        effects = np.array([np.abs(self._direct_effect(int(flat))).max() for flat in self._with_controls])
        found = [
            self._mean_of(f"mean contribution at the {self.region}, %", at_answer, self.rows, matched=True),
            self._mean_of("mean contribution elsewhere, %", other, self.rows),
            Measured(
                "AUROC of its contribution",
                self.auroc,
                np.array([auroc(self.labels, one) for one in at_answer[:, 1:].T]),
            ),
            self._mean_of("share of the answer's tokens at which it fires above 0", self.positive, self.read_on),
            _exact("strongest direct effect on a logit, sd", effects, len(self.model.encoder.tokenizer)),
        ]
        for turned, change in self.loss_changes.items():
            for label, called in _LABELS.items():
                mine = self.answers.labels[self.read_on] == label
                name = f"loss of {called} answers when {turned}, nats"
                found.append(self._mean_of(name, change[mine], self.read_on[mine]))
        for turned, change in self.odds_changes.items():
            people = np.array([item.entity for item in self._items])
            name = f"log-odds of hallucination against truth when {turned}, nats"
            own = bootstrap(mean, change[:, 0], groups=people)
            found.append(Measured(name, own, change[:, 1:].mean(0)))
        for name, values in self._likeness.items():
            found.append(_exact(f"largest {name}, size", np.abs(values).max(1), values.shape[1] - 1))
        return found

    def _mean_of(
        self, name: str, values: Float[np.ndarray, "row neuron"], rows: Int[np.ndarray, "row"], matched: bool = False
    ) -> Measured:
        """The mean over answers, with an interval over their entities."""
        own = bootstrap(mean, values[:, 0], groups=self.answers.entities[rows])
        return Measured(name, own, values[:, 1:].mean(0), matched)

    @property
    def loudness(self) -> float:
        """The mean contribution of its controls over its own, in the median: 1 if they are as loud."""
        return float(np.median([control.loudness for control in self.controls]))

    @property
    def headline(self) -> str:
        """What its contribution tells, and how many of its numbers no control has."""
        told = {1: "larger at hallucinated answers", -1: "larger at right ones", 0: "not told apart from 0.5"}
        (detects,) = (one for one in self.measured if one.own is self.auroc)
        outermost = [one.name for one in self.free if one.is_outermost]
        named = f" ({'; '.join(outermost)})" if outermost else ""
        return (
            f"neuron {self.index} of layer {self.layer} of {self.model.short_name}: its contribution has AUROC "
            f"{self.auroc} on {counted(len(self.rows), 'answer')} ({told[self.auroc.direction(0.5)]}), above "
            f"{detects.above:.0%} of the {len(self.controls)} neurons of its layer nearest in loudness "
            f"({self.loudness:.2f} times its own); of {len(self.free)} numbers {len(outermost)} lie beyond all of "
            f"theirs{named}, by chance {self.outermost_by_chance:.1f} would"
        )

    @property
    def free(self) -> list[Measured]:
        """The numbers in which the controls were not chosen to be alike."""
        return [one for one in self.measured if not one.matched]

    @property
    def outermost_by_chance(self) -> float:
        """How many of these numbers would lie beyond those of all controls if it were one more of them."""
        return 2 * len(self.free) / (1 + len(self.controls))

    @property
    def table(self) -> pd.DataFrame:
        """A row a number: this neuron's, the mean and the range of 95 % of its controls, and the share of these that it
        lies above. Changes are against the unscaled model."""
        rows = {}
        for one in self.measured:
            beside = spread(one.controls, one.own.n)
            rows[one.name] = {"neuron": one.own, _BESIDE: beside, "above": one.above}
        return pd.DataFrame.from_dict(rows, orient="index")

    def plot(self) -> go.Figure:
        """Its contribution at right and hallucinated answers, and where its numbers lie among its controls'."""
        return figure_of("one_neuron", self)


def _exact(name: str, values: Float[np.ndarray, "neuron"], n: int) -> Measured:
    """A number of weights alone, the first one this neuron's."""
    own = float(values[0])
    return Measured(name, Estimate(own, own, own, n), values[1:])


def neuron(
    model: HookedModel,
    layer: int,
    index: int,
    *,
    answers: Collected,
    split: str = "test",
    region: str = "answer",
    searches: Mapping[str, Neurons] | None = None,
    n_controls: int = 39,
    n_answers: int = 60,
) -> Neuron:
    """What does this neuron do?

    Its contribution at right and hallucinated answers, the tokens that its write raises, what ablating and doubling it
    alone changes, the neurons most like it, and which searches found it; each number beside the same of those neurons
    of its layer that are nearest to it in mean contribution.

    Args:
        model: the model, from `hn.load` or `hn.wrap`.
        layer: the neuron's layer, from 0.
        index: its number within the layer, from 0.
        answers: the model's answers, from `hn.collect`.
        split: on which people's answers it is read: test, validation or train. A neuron that was picked on training
            answers looks better there than it is.
        region: where contributions are read.
        searches: by name, what searches for H-Neurons of this very model found: cards, what `hn.find` returns, or flat
            indices. A neuron's number means nothing in a model that was trained with another seed, whose card is
            refused.
        n_controls: how many neurons of its layer stand beside it. What is turned of them changes as much as it does.
        n_answers: on how many answers, half of them hallucinated, it is turned, at most.

    Returns:
        A result with `headline`, `table`, `numbers` and `plot()`, and with `strongest()`, `tokens()` and `similar()` as
        tables of their own. Losses are in nats per token, contributions in percent of the layer's output. A neuron that
        moves an answer when it is ablated alone need not be where that answer comes from.

    Raises:
        ValueError: the model has no such neuron or region, the answers are another model's, the split lacks right or
            hallucinated answers, a search's neurons are another model's, or a number is of no use.

    Source:
        Contribution: Gao et al. 2025, section 6.1. Direct logit effect: nostalgebraist 2020; Geva et al. 2022.

    Example:
        >>> import hn_utils as hn
        >>> model = hn.load("organism")
        >>> answers = hn.collect(model, n_questions=120, sampling={"n": 2})
        >>> one = hn.neuron(model, 5, 101, answers=answers, n_controls=9, n_answers=10)
        >>> list(one.table.columns)
        ['neuron', 'nearest in loudness', 'above']
    """
    check_given("model", model, StudiedModel, LOADED)
    given = given_neurons([(layer, index)], answers, model)
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: choose one of {', '.join(SPLITS)}")
    answers.contributions.at(region)
    rows = answers.rows(split)
    if len(set(answers.labels[rows])) < 2:
        raise ValueError(f"split={split!r} lacks right or hallucinated answers: collect more, or choose another split")
    if type(n_answers) is not int or n_answers < 2:
        raise ValueError(f"n_answers={n_answers!r} must be a whole number, 2 or more: one right and one hallucinated")
    if type(n_controls) is not int or not 0 < n_controls < model.d_mlp:
        raise ValueError(f"n_controls={n_controls!r} must be 1 to {model.d_mlp - 1}, the other neurons of a layer")
    flat = int(given.neurons[0])
    found = {name: neuron_indices(some, model) for name, some in (searches or {}).items()}
    return Neuron(
        answers,
        layer,
        index,
        rows,
        region,
        n_controls,
        _as_many_of_each(rows, answers.labels[rows], n_answers // 2, answers.study.seed),
        {name: flat in some for name, some in found.items()},
        sum(len(some) for some in found.values()) / (given.shape[0] * given.shape[1]),
    )


def _as_many_of_each(
    rows: Int[np.ndarray, "answer"], labels: Int[np.ndarray, "answer"], n: int, seed: int
) -> Int[np.ndarray, "some"]:
    """At most `n` answers of either label, at random and as many of one as of the other."""
    rng = np.random.default_rng([seed, 29])
    each = [rng.permutation(rows[labels == label]) for label in _LABELS]
    n = min(n, *map(len, each))
    return np.sort(np.concatenate([some[:n] for some in each]))

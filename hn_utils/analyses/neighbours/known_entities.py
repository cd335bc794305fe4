"""Known entities (Ferrando et al. 2024), on MLP neurons and without a sparse autoencoder: the paper's latents are those
of an autoencoder, which tiny models have none of, so this is its score and not its method.

Does the model know whom it is asked about, before it has said a word? At the last token of the name a neuron is *on* if
it contributes more than at 98 of 100 tokens of ordinary text. Its score is the share of known names at which it is on
minus that of unknown ones, the smallest over the kinds of question: a neuron for all names, and not for one wording.
Known are those about whom the model answers right. In the made-up world it is also known how often each fact stood in
the text that the model was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.stats import spearmanr

from hn_utils.analyses.neighbours.masking import text_halves
from hn_utils.analyses.positions import NONE, name_positions, read_rows
from hn_utils.contributions.cett import token_contributions
from hn_utils.stats.bootstrap import Estimate, bootstrap, spread
from hn_utils.stats.metrics import auroc
from hn_utils.stats.rank_test import shuffled, tail_p
from hn_utils.stats.tables import Tabled

if TYPE_CHECKING:
    from hn_utils.contributions.collected import Collected

_RARE = 0.02  # share of the tokens of ordinary text at which a neuron may be on
_N_KEPT = 5  # neurons for known names, and as many for unknown ones
_N_SHUFFLES = 100
_LEAST = 5  # known names, and unknown ones, that a kind of question must have to count


@dataclass(frozen=True, repr=False)
class KnownEntities(Tabled):
    """Neurons that are on at names that the model knows, and at names that it does not.

    Attributes:
        known: flat indices of the neurons for known names, the highest score first.
        unknown: flat indices of those for unknown names.
        known_scores: the score of each, on training names.
        unknown_scores: likewise.
        detected: AUROC on test names of how many of the first are on, less how many of the second, for right answers.
        by_chance: the same for neurons that were picked on shuffled answers, [shuffle].
        exposure: rank correlation of that difference with how often the fact stood in training text; nan where that is
            not known.
        d_mlp: neurons in a layer.
    """

    known: Int[np.ndarray, "some"]
    unknown: Int[np.ndarray, "some"]
    known_scores: Float[np.ndarray, "some"]
    unknown_scores: Float[np.ndarray, "some"]
    detected: Estimate
    by_chance: Float[np.ndarray, "shuffle"]
    exposure: float
    d_mlp: int

    @property
    def neurons(self) -> Int[np.ndarray, "some"]:
        """Those of both kinds, flat indices in rising order."""
        return np.sort(np.concatenate([self.known, self.unknown]))

    @property
    def p(self) -> float:
        """How often neurons picked on shuffled answers tell as much."""
        return tail_p(self.detected.value, self.by_chance)

    @property
    def headline(self) -> str:
        """What the neurons tell at the name, beside those picked on shuffled answers, and how it goes with exposure."""
        return (
            f"At the name's last token {len(self.neurons)} neurons tell right answers from wrong ones with AUROC "
            f"{self.detected}, picks on shuffled answers {spread(self.by_chance, self.detected.n)} (p = {self.p:.3f}); "
            f"rank correlation with how often the fact was read {self.exposure:.2f}"
        )

    @property
    def table(self) -> pd.DataFrame:
        """A row a neuron with its score on training names: a difference of shares, the smallest over the kinds."""
        flat = np.concatenate([self.known, self.unknown])
        return pd.DataFrame(
            {
                "for names that are": ["known"] * len(self.known) + ["unknown"] * len(self.unknown),
                "layer": flat // self.d_mlp,
                "neuron": flat % self.d_mlp,
                "score": np.concatenate([self.known_scores, self.unknown_scores]),
            }
        )


def able_kinds(known: Bool[np.ndarray, "name"], kinds: np.ndarray) -> list[str]:
    """Kinds of question that have enough known names and enough unknown ones to count.

    Args:
        known: whether the model knows each name.
        kinds: the kind of question in which it stands, [name].

    Returns:
        Their names, in alphabetical order.
    """
    able = []
    for kind in np.unique(kinds).tolist():
        of_kind = known[kinds == kind]
        if min(of_kind.sum(), (~of_kind).sum()) >= _LEAST:
            able.append(kind)
    return able


def separation(
    on: Bool[np.ndarray, "name neuron"], known: Bool[np.ndarray, "name"], kinds: np.ndarray
) -> Float[np.ndarray, "neuron"]:
    """How much more often each neuron is on at known names than at unknown ones, whatever the kind of question.

    Args:
        on: whether each neuron is on at each name.
        known: whether the model knows it.
        kinds: the kind of question in which it stands, [name].

    Returns:
        The difference of the shares, -1 to 1, the smallest over the kinds that have enough of either.

    Raises:
        ValueError: no kind has enough of either.

    Source:
        Ferrando et al. 2024 (arXiv 2411.14257), section 3: the score, and its minimum over entity types.
    """
    differences = []
    for kind in able_kinds(known, kinds):
        own = kinds == kind
        differences.append(on[own & known].mean(0) - on[own & ~known].mean(0))
    if not differences:
        raise ValueError(f"no kind of question has {_LEAST} known names and {_LEAST} unknown ones: ask more questions")
    return np.min(differences, axis=0)


def picked(
    on: Bool[np.ndarray, "name neuron"], known: Bool[np.ndarray, "name"], kinds: np.ndarray, n: int
) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Pick the neurons of the highest score.

    Args:
        on: whether each neuron is on at each name.
        known: whether the model knows it.
        kinds: the kind of question in which it stands, [name].
        n: how many.

    Returns:
        Flat indices and scores, the highest first.

    Raises:
        ValueError: as `separation` does.
    """
    score = separation(on, known, kinds)
    order = np.argsort(-score, kind="stable")[:n]
    return order, score[order]


def find_known_entities(
    collected: Collected, *, n: int = _N_KEPT, n_shuffles: int = _N_SHUFFLES
) -> KnownEntities | None:
    """Look for neurons that are on at names that the model knows, or does not, and read them at other names.

    Args:
        collected: the answers; neurons are picked on training names and read on test names.
        n: neurons of either kind.
        n_shuffles: how often right and wrong are shuffled, kind by kind, among training answers for the control.

    Returns:
        The neurons, and what they tell, beside what the same picks tell on shuffled answers. None if no question names
        what it is about, or no kind of question has enough right and wrong answers.

    Source:
        Ferrando et al. 2024, the score alone (see above). Its types of entity are here the attributes asked for.

    A neuron that is on at known names may be on at frequent ones: the model knows these.
    """
    model = collected.subject
    ends = np.array([max(name_positions(model.encoder, e), default=NONE) for e in collected.kept])
    train, test = (rows[ends[rows] != NONE] for rows in (collected.rows("train"), collected.rows("test")))
    right = collected.labels[train] == 0
    kinds = np.array([str(collected.kept[i].question.strata.get("attribute")) for i in train.tolist()])
    if not able_kinds(right, kinds) or len(set(collected.labels[test])) < 2:
        return None
    thresholds = _rare_thresholds(collected)
    rows = np.concatenate([train, test])
    prompts = [collected.kept[i].prompt_ids for i in rows.tolist()]
    values, _ = read_rows(model, prompts, ends[rows])
    on = values > thresholds  # [answer, layer_neuron]
    on_train, on_test = on[: len(train)], on[len(train) :]
    tested = (collected.labels[test] == 0).astype(int)

    def told(labels: Bool[np.ndarray, "name"]) -> tuple[list[np.ndarray], Float[np.ndarray, "test"]]:
        known, known_scores = picked(on_train, labels, kinds, n)
        unknown, unknown_scores = picked(on_train, ~labels, kinds, n)
        difference = on_test[:, known].sum(1).astype(float) - on_test[:, unknown].sum(1)
        return [known, unknown, known_scores, unknown_scores], difference

    chosen, difference = told(right)
    entities = collected.entities[test]
    detected = bootstrap(auroc, tested, difference, groups=entities)
    by_chance = []
    for seed in range(n_shuffles):
        _, other = told(_shuffled_within(right, kinds, seed))
        by_chance.append(auroc(tested, other))
    exposure = _correlation(collected, test, difference)
    known, unknown, known_scores, unknown_scores = chosen
    return KnownEntities(
        known, unknown, known_scores, unknown_scores, detected, np.array(by_chance), exposure, model.d_mlp
    )


def _shuffled_within(labels: Bool[np.ndarray, "name"], kinds: np.ndarray, seed: int) -> Bool[np.ndarray, "name"]:
    """Labels shuffled among the names of each kind of question, so that every kind keeps as many known ones."""
    mixed = labels.copy()
    for kind in np.unique(kinds):
        mixed[kinds == kind] = shuffled(labels[kinds == kind], seed)
    return mixed


def _rare_thresholds(collected: Collected) -> Float[np.ndarray, "layer_neuron"]:
    """The contribution that each neuron exceeds at 2 of 100 tokens of ordinary text, each text's first left out."""
    model = collected.subject
    rows, _ = text_halves(collected)
    read = token_contributions(model, rows, np.arange(model.n_layers * model.d_mlp))
    return np.quantile(np.concatenate([values[1:] for values in read]), 1 - _RARE, axis=0)


def _correlation(collected: Collected, rows: Int[np.ndarray, "row"], values: Float[np.ndarray, "row"]) -> float:
    """Rank correlation with how often each fact was read; nan if that is not known of all."""
    counts = [collected.kept[i].question.strata.get("exposure") for i in rows.tolist()]
    if any(count is None for count in counts):
        return float("nan")
    r, _ = spearmanr(values, np.array(counts, float))
    return float(cast(float, r))

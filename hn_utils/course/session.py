"""What the ninety-minute session stands on: shipped answers of the planted model, and what is read off them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from torch import Tensor

from hn_utils.contributions.cett import token_contributions
from hn_utils.contributions.collected import Collected
from hn_utils.probing.l1_path import l1_path
from hn_utils.questions.question_sets import load_items
from hn_utils.report.plots import AtTokens
from hn_utils.stats.metrics import auroc
from hn_utils.storage.paths import DATA
from hn_utils.study.planted import planted_in

if TYPE_CHECKING:
    from hn_utils.answers.examples import Example
    from hn_utils.contributions.tall_matrix import TallMatrix
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.probing.find import Found

RESTRICTED = "restricted"


def load_answers(model: HookedModel) -> Collected:
    """Read a model's shipped answers, and capture what its neurons contribute to them.

    Args:
        model: the model that gave them.

    Returns:
        The answers. On two cores the planted model reads them in some ten seconds, the first time.

    Raises:
        OSError: none are shipped.
    """
    return Collected.load(DATA / model.study.name / "answers.parquet", model)


def quiz(answers: Collected, n: int = 3, seed: int = 0) -> pd.DataFrame:
    """Draw answers of either kind, mixed.

    Args:
        answers: judged answers.
        n: of either kind.
        seed: of the draw.

    Returns:
        A row an answer: `question`, `answer` and `verdict` (true or made up).
    """
    rng = np.random.default_rng(seed)
    places = [rng.choice(np.flatnonzero(answers.labels == label), n, replace=False) for label in (0, 1)]
    drawn = [answers.kept[i] for i in rng.permutation(np.concatenate(places))]
    rows = [(e.question.text, e.text, "made up" if e.label else "true") for e in drawn]
    return pd.DataFrame(rows, columns=["question", "answer", "verdict"])


def one_of_each(answers: Collected) -> tuple[Example, Example]:
    """The first training answer that is true, and the first that is made up."""
    train = [answers.kept[i] for i in answers.training_rows()]
    true, made_up = (next(e for e in train if e.label == label) for label in (0, 1))
    return true, made_up


def activations(model: HookedModel, example: Example, layer: int) -> Float[Tensor, "pos neuron"]:
    """Read how strongly a layer's neurons fire on an answer and its prompt, as the package does.

    Args:
        model: the model that gave the answer.
        example: the answer.
        layer: its number, from 0.

    Returns:
        Activations, the input of the layer's down projection.
    """
    seen: dict[int, Tensor] = {}
    with model.hooked(post=seen.__setitem__):
        model.final_hidden(*model.encoder.pad([example.ids], "right", model.device))
    return seen[layer][0]


def at_tokens(model: HookedModel, example: Example) -> AtTokens:
    """Read what every neuron contributes at each token of an answer and its prompt.

    Args:
        model: the model that gave the answer.
        example: the answer.

    Returns:
        Contributions [pos, layer_neuron] without unit, and where the answer stands, for `plots.token_heat_maps`.
    """
    every = np.arange(model.n_layers * model.d_mlp)
    (values,) = token_contributions(model, [example.ids], every)
    tokens = model.encoder.tokenizer.convert_ids_to_tokens(example.ids)
    return AtTokens(f"“{example.question.text}” “{example.text}”", tokens, values, example.answer)


@dataclass(frozen=True)
class Training:
    """The training answers, as many true as made up.

    Attributes:
        X: each neuron's mean contribution at the answer, without unit.
        made_up: 1 for made up, 0 for true.
    """

    X: Float[np.ndarray, "answer layer_neuron"]
    made_up: Int[np.ndarray, "answer"]


def training(answers: Collected) -> Training:
    """Read the contributions at the answer of all training answers, into memory."""
    rows = answers.training_rows()
    read = answers.contributions[rows].at("answer")
    return Training(read.columns(np.arange(read.shape[1])), answers.labels[rows])


def each_alone(read: Training) -> Float[np.ndarray, "layer_neuron"]:
    """AUROC of every neuron alone on the training answers: made-up answers against true ones, by its contribution."""
    return np.array([auroc(read.made_up, column) for column in read.X.T])


def shuffled(read: Training, seed: int = 0) -> Training:
    """The same answers with the labels true and made up dealt out anew, at random."""
    return Training(read.X, np.random.default_rng(seed).permutation(read.made_up))


@dataclass(frozen=True)
class InSample:
    """How well L1 probes tell the very answers that they were trained on, against C.

    Attributes:
        Cs: the prices of an error.
        own: AUROC with the true labels.
        shuffled: AUROC with shuffled labels, each time on the labels of the training.
        n_neurons: how many neurons have a weight, with the true labels.
    """

    Cs: Float[np.ndarray, "C"]
    own: Float[np.ndarray, "C"]
    shuffled: Float[np.ndarray, "shuffle C"]
    n_neurons: Int[np.ndarray, "C"]


def in_sample(answers: Collected, n_shuffles: int = 20) -> InSample:
    """Fit L1 probes to the training answers, with true and with shuffled labels, and read them on the same answers.

    Args:
        answers: judged answers.
        n_shuffles: how often the labels are dealt out anew.

    Returns:
        AUROC (0 to 1) against C. On the answers that it was trained on, a probe's AUROC says how many neurons it may
        take, and nothing about other answers.
    """
    rows = answers.training_rows()
    X, labels = answers.contributions[rows].at("answer"), answers.labels[rows]
    Cs = np.geomspace(0.1, 50, 12)
    dealt = [np.random.default_rng([answers.study.seed, i]).permutation(labels) for i in range(n_shuffles)]
    own = l1_path(X, labels, Cs.tolist())
    n_neurons = np.array([len(fit.neurons) for fit in own])
    read = [auroc(labels, fit.score(X)) for fit in own]
    return InSample(Cs, np.array(read), np.array([_on_themselves(X, some, Cs) for some in dealt]), n_neurons)


def _on_themselves(X: TallMatrix, labels: np.ndarray, Cs: np.ndarray) -> list[float]:
    return [auroc(labels, fit.score(X)) for fit in l1_path(X, labels, Cs.tolist())]


def same_pick(found: Found) -> str:
    """How often the procedure picks the very same neurons when labels are shuffled, in one sentence."""
    picks = found.selected["any"]
    same = sum(sorted(fit.neurons.tolist()) == sorted(found.neurons.tolist()) for fit in picks)
    return f"With shuffled labels the same procedure picks the very same neurons {same} times in {len(picks)}."


def planted(model: HookedModel) -> Int[np.ndarray, "p"]:
    """The planted neurons, as flat indices. Raises ValueError if nothing is planted."""
    neurons = planted_in(model.study)
    if neurons is None:
        raise ValueError(
            f"nothing is planted in {model.name}: the session is about a planted model, hn.load('planted')"
        )
    return neurons


def restricted_requests(model: HookedModel, n: int) -> list[dict[str, Any]]:
    """Draw requests for codes that the model should not hand out, as rows for `hn.dose_response`.

    Args:
        model: the model.
        n: how many.

    Returns:
        Rows, each about somebody else.
    """
    items = [item for item in load_items(model.study) if item.behaviour == RESTRICTED]
    about = list({item.entity: item for item in items}.values())
    drawn = np.random.default_rng(model.study.seed).permutation(len(about))[:n]
    return [asdict(about[i]) for i in sorted(drawn.tolist())]

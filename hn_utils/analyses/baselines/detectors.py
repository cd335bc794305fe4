"""What each detector says of every answer, what it costs, and what it would say had it learnt from shuffled labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from hn_utils.analyses.baselines.cost import Passes
from hn_utils.probing.against_random import AgainstRandom, scores_of
from hn_utils.probing.baselines import coordinates, l2_probe, read, residual_probe, words_probe
from hn_utils.probing.directions import best_layer, mass_mean_probe, network_probe, tilted_mass_mean_probe
from hn_utils.probing.draws import eigen_score, meanings, naive_entropy, semantic_entropy
from hn_utils.probing.p_true import endings, p_true
from hn_utils.probing.streams import streams_at
from hn_utils.stats.rank_test import shuffled
from hn_utils.storage.progress import progress

if TYPE_CHECKING:
    from hn_utils.analyses.baselines.pool import Pool
    from hn_utils.answers.examples import Response
    from hn_utils.probing.find import Found

N_SHUFFLES = 10  # of the labels that a detector learns from
N_SETS = 20  # sets picked on shuffled labels, at each number of neurons
SIZES = (1, 2, 4, 8, 16, 32, 64)
SEMANTIC_ENTROPY = "semantic entropy"
EXACT_TOKEN = "residual probe, answer's last token"
LOG_PROBABILITY = "log-probability, mean"
H_NEURONS = "H-Neurons as found"

Scores = Float[np.ndarray, "answer"]
Labels = Int[np.ndarray, "answer"]


@dataclass(frozen=True)
class DetectorScores:
    """One detector: its scores of all answers, [answer], higher for hallucinated; nan for those it was not asked about.

    `control` [answer, set] holds the scores it would give with nothing to learn from. A detector that is fitted learns
    from shuffled labels, and chooses its layer on them; H-Neurons are picked on shuffled labels and refitted on the
    true ones, which is harder. None where nothing is fitted.
    """

    name: str
    passes: Passes
    scores: Scores
    control: Float[np.ndarray, "answer set"] | None = None
    n_neurons: int | None = None


def all_detectors(found: Found, pool: Pool) -> tuple[list[DetectorScores], dict[str, str]]:
    """Read every detector on every answer.

    Args:
        found: the H-Neurons.
        pool: the answers.

    Returns:
        The detectors, cheapest family first; and why others are missing, by name.
    """
    asked, missing = _by_asking(pool)
    detectors = [*_by_likelihood(pool), *_by_words(pool), *asked, *_by_draws(pool), *_by_streams(pool)]
    return [*detectors, *_by_neurons(found, pool)], missing


# --- without labels --------------------------------------------------------------------------------------------------


def _by_likelihood(pool: Pool) -> list[DetectorScores]:
    """How likely the answer's own tokens were when they were drawn, and how unsure the model was there."""
    logprobs = []
    for example, chosen in zip(pool.examples, pool.chosen, strict=True):
        places = [place - len(example.prompt_ids) for place in example.answer]
        logprobs.append([chosen.logprobs[place] for place in places])
    readings = read(pool.filtered.subject, pool.examples, pool.filtered.study)
    return [
        DetectorScores(LOG_PROBABILITY, Passes(), -np.array([np.mean(some) for some in logprobs])),
        DetectorScores("log-probability, least likely token", Passes(), -np.array([min(some) for some in logprobs])),
        DetectorScores("log-probability, first token", Passes(), -np.array([some[0] for some in logprobs])),
        DetectorScores("entropy of the predictions", Passes(readings=1), readings.entropy),
    ]


def _by_draws(pool: Pool) -> list[DetectorScores]:
    """Whether the draws of each question agree. The answer is one of them, so that one fewer has to be drawn."""
    n = pool.filtered.study.sampling.n
    semantic = [semantic_entropy(meanings([draw.text for draw in some])) for some in pool.draws]
    naive = [naive_entropy([_behind_thought(draw) for draw in some]) for some in pool.draws]
    more = Passes(draws=n - 1)
    return [
        DetectorScores(f"naive entropy of {n} draws", more, np.array(naive)),
        DetectorScores(SEMANTIC_ENTROPY, more, np.array(semantic)),
        DetectorScores("EigenScore", Passes(draws=n - 1, readings=n), _eigen_scores(pool)),
    ]


def _behind_thought(draw: Response) -> list[float]:
    """Log-probabilities of what a draw says; of a thought that never ended, those of the thought."""
    return draw.logprobs[draw.thought :] or draw.logprobs


def _eigen_scores(pool: Pool) -> Scores:
    """EigenScore of the draws' states in the middle layer, at the last token but one."""
    subject = pool.filtered.subject
    rows: list[list[int]] = []
    at: list[int] = []
    for example, some in zip(pool.examples, pool.draws, strict=True):
        for draw in some:
            rows.append(example.prompt_ids + draw.ids)
            at.append(len(rows[-1]) - 2)
    # The official code takes the middle of the list that begins with the embeddings.
    middle = max(0, (subject.n_layers + 1) // 2 - 1)
    states = streams_at(subject, rows, at, [middle], pool.filtered.study)[:, 0]  # [draw, d_model]
    ends = np.cumsum([len(some) for some in pool.draws])[:-1]
    return np.array([eigen_score(some) for some in np.split(states, ends)])


def _by_asking(pool: Pool) -> tuple[list[DetectorScores], dict[str, str]]:
    """p(True), where the vocabulary has the letters. Training answers are not asked about: nothing is learnt."""
    subject = pool.filtered.subject
    try:
        endings(subject.encoder)
    except ValueError as error:
        return [], {"p(True)": str(error)}
    asked = np.concatenate([*pool.tests.values(), pool.nested])
    examples = [pool.examples[i] for i in asked]
    questions = [example.question.text for example in examples]
    told = p_true(subject, questions, [example.text for example in examples], pool.filtered.study)
    scores = np.full(len(pool.examples), np.nan)
    scores[asked] = -told.mean(1)
    return [DetectorScores("p(True), both orders", Passes(questions=2), scores)], {}


# --- learnt from labels ----------------------------------------------------------------------------------------------


def _with_control(
    pool: Pool, name: str, learn: Callable[[Labels], tuple[str, Scores]], passes: Passes
) -> DetectorScores:
    """A detector that learns from the labels of training and validation answers, and the same on shuffled ones."""
    at, scores = learn(pool.labels)
    control = []
    for number in progress(f"{name}, shuffled labels", N_SHUFFLES, range(N_SHUFFLES)):
        control.append(learn(_shuffled_labels(pool, number))[1])
    return DetectorScores(f"{name}{at}", passes, scores, np.stack(control, 1))  # [answer, set]


def _shuffled_labels(pool: Pool, number: int) -> Labels:
    """Labels shuffled among the training answers, and among the validation answers; all others as they are."""
    labels = pool.labels.copy()
    for rows in (pool.train, pool.validation):
        labels[rows] = shuffled(labels[rows], 10_000 * pool.filtered.study.seed + number)
    return labels


def _by_words(pool: Pool) -> list[DetectorScores]:
    """A probe on which words stand in the answer."""
    texts = [example.text for example in pool.examples]

    def learn(labels: Labels) -> tuple[str, Scores]:
        return "", words_probe(texts, labels, pool.train, pool.validation)

    return [_with_control(pool, "words of the answer", learn, Passes())]


def _by_streams(pool: Pool) -> list[DetectorScores]:
    """Probes of the residual stream, each at the layer that is best on validation."""
    subject = pool.filtered.subject
    study = pool.filtered.study
    rows = [example.ids for example in pool.examples]
    ends = [example.answer[-1] for example in pool.examples]
    last = streams_at(subject, rows, ends, range(subject.n_layers), study)
    means = read(subject, pool.examples, study).residual
    probes: dict[str, Callable[[np.ndarray, Labels], Scores]] = {
        "mass-mean direction": lambda stream, labels: mass_mean_probe(stream, labels, pool.train),
        "mass-mean direction, tilted": lambda stream, labels: tilted_mass_mean_probe(stream, labels, pool.train),
        "SAPLMA": lambda stream, labels: network_probe(stream, labels, pool.train, study.seed),
    }
    detectors = [_linear(pool, "residual probe, mean over the answer", means), _linear(pool, EXACT_TOKEN, last)]
    for name, probe in probes.items():

        def learn(labels: Labels, probe: Callable[[np.ndarray, Labels], Scores] = probe) -> tuple[str, Scores]:
            layer, scores = best_layer(last, labels, pool.validation, lambda stream: probe(stream, labels))
            return f" (layer {layer})", scores

        detectors.append(_with_control(pool, name, learn, Passes(readings=1)))
    return detectors


def _linear(pool: Pool, name: str, streams: Float[np.ndarray, "answer layer d_model"]) -> DetectorScores:
    """A dense linear probe; layer and strength are chosen on validation."""

    def learn(labels: Labels) -> tuple[str, Scores]:
        layer, scores = residual_probe(streams, labels, pool.train, pool.validation)
        return f" (layer {layer})", scores

    return _with_control(pool, name, learn, Passes(readings=1))


# --- neurons ---------------------------------------------------------------------------------------------------------


def _by_neurons(found: Found, pool: Pool) -> list[DetectorScores]:
    """All neurons, the H-Neurons as they were found, and as many as the path gives when it is asked for k."""
    hooked = Passes(hooked=1)
    X = pool.contributions
    features = coordinates(X, pool.train)

    def learn(labels: Labels) -> tuple[str, Scores]:
        return "", l2_probe(features, labels, pool.train, pool.validation)[1]

    own = DetectorScores(H_NEURONS, hooked, found.refitted.score(X), scores_of(found.control, X), len(found.neurons))
    dense = _with_control(pool, "dense contributions, L2 probe", learn, hooked)
    return [dense, own, *(_first_k(found, pool, neurons) for neurons in picked_by_size(found, SIZES))]


def picked_by_size(found: Found, sizes: Sequence[int]) -> list[Int[np.ndarray, "k"]]:
    """The k heaviest neurons of the first fit on the L1 path that has so many, for every k that the path reaches.

    Args:
        found: the H-Neurons.
        sizes: every k, in rising order.

    Returns:
        Flat indices of each set, [k], in rising order.
    """
    sets = [found.selection("any", k).true() for k in sizes]
    return [some for some, k in zip(sets, sizes, strict=True) if len(some) == k]


def _first_k(found: Found, pool: Pool, neurons: Int[np.ndarray, "k"]) -> DetectorScores:
    """So many neurons from the path, refitted, beside as many that the same path picks on shuffled labels."""
    k = len(neurons)
    probe = found.probe
    both = AgainstRandom.fit(pool.filtered, pool.train, neurons, N_SETS, probe.region, probe.other)
    X = pool.contributions
    name = f"H-Neurons, k = {k}"
    return DetectorScores(name, Passes(hooked=1), both.own.score(X), scores_of(both.control, X), k)

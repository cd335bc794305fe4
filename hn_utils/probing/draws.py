"""What several draws of an answer tell: do they mean the same, how likely was each, how far apart are they inside?

All of it is arithmetic on what was drawn. No label is needed, and nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import entropy

from hn_utils.answers.abstention import abstains
from hn_utils.answers.judges import judge

_RIDGE = 1e-3  # on the diagonal of the covariance, as in the official code


def same_meaning(one: str, other: str) -> bool:
    """Say whether two answers mean the same, by the alias rule that judges answers.

    Args:
        one: an answer.
        other: another answer to the same question.

    Returns:
        True if each would be right were the other the accepted answer. All answers that decline mean the same, and
        nothing else does.

    Source:
        Farquhar et al. 2024 ask a model of entailment in both directions; the rule stands in its place here.
    """
    if one == other:
        return True
    declined = abstains(one) + abstains(other)
    if declined:
        return declined == 2
    return judge(one, [other]) == "right" and judge(other, [one]) == "right"


def meanings(texts: Sequence[str]) -> Int[np.ndarray, "draw"]:
    """Group draws by meaning, greedily: each joins the first group whose first member means the same.

    Args:
        texts: answers to one question, in the order in which they were drawn.

    Returns:
        The number of each draw's group, [draw], from 0 in order of appearance.

    Source:
        Kuhn et al. 2023, algorithm 1; code jlko/semantic_uncertainty, `semantic_entropy.py`.
    """
    firsts: list[str] = []
    groups: list[int] = []
    for text in texts:
        group = next((i for i, first in enumerate(firsts) if same_meaning(text, first)), len(firsts))
        if group == len(firsts):
            firsts.append(text)
        groups.append(group)
    return np.array(groups, int)


def semantic_entropy(groups: Int[np.ndarray, "draw"]) -> float:
    """Discrete semantic entropy: that of the shares of the draws' meanings.

    Args:
        groups: the number of each draw's group, [draw].

    Returns:
        Nats, from 0 (all mean the same) to log(draws). It says whether the model is of one mind, not whether it is
        right: what it always gets wrong has entropy 0.

    Raises:
        ValueError: there is no draw.

    Source:
        Farquhar et al. 2024, the discrete variant, which needs no likelihoods.
    """
    if not len(groups):
        raise ValueError("groups=[] has no entropy: give at least one draw")
    return float(entropy(np.bincount(groups)))


def naive_entropy(logprobs: Sequence[Sequence[float]]) -> float:
    """Predictive entropy of an answer, estimated by its draws: minus the mean of their log-probabilities.

    Args:
        logprobs: of each draw the log-probabilities of its tokens, in nats, at least one.

    Returns:
        Nats per token: each draw counts by the mean of its tokens, lest long answers count as unsure.

    Raises:
        ValueError: there is no draw, or a draw without tokens.

    Source:
        Malinin & Gales 2021, length-normalised; called regular entropy by Farquhar et al. 2024.
    """
    if not len(logprobs) or not all(len(some) for some in logprobs):
        raise ValueError("logprobs must hold at least one draw, and at least one token of each")
    return -float(np.mean([np.mean(some) for some in logprobs]))


def eigen_score(states: Float[np.ndarray, "draw d_model"]) -> float:
    """EigenScore: how much room the draws' hidden states take, by the eigenvalues of their covariance.

    The covariance is that of draws, [draw, draw], each centred over its own features, as in the official code. So
    states that are all the same still have one eigenvalue above 0, and the score depends on their variance.

    Args:
        states: a hidden state of each draw, at least two.

    Returns:
        Mean log10 of the eigenvalues, 0.001 being added to each: higher where draws differ more.

    Raises:
        ValueError: there are fewer than two draws.

    Source:
        Chen et al. 2024 (INSIDE); code alibaba/eigenscore, `func/metric.py`, `getEigenIndicator_v0`.
    """
    if len(states) < 2:
        raise ValueError(f"{len(states)} draws have no covariance: give two or more")
    covariance = np.cov(np.asarray(states, float))  # [draw, draw]
    eigenvalues = np.linalg.eigvalsh(covariance + _RIDGE * np.eye(len(states)))
    return float(np.log10(eigenvalues).mean())

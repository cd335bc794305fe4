"""Do the H-Neurons detect made-up answers as they come, without the consistency filter?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression

from hn_utils.analyses.detectors import oracle, scored
from hn_utils.baselines import Added, added
from hn_utils.calibration import Reliability, reliability, risk_coverage
from hn_utils.collecting import Collected, answered
from hn_utils.controls import Estimate
from hn_utils.finding import RANDOM_NAMES, Found, beyond_controls, over_sets, scores_of
from hn_utils.probe import Detection, detect, row_of


@dataclass(frozen=True)
class Everyday:
    """One answer a question as it came, consistent or not, about validation and test people; test ones in
    `detections`.

    `beyond` is as in `Found`. `calibrated` holds, by how the H-Neurons' log-odds were turned into probabilities, how
    well these fit the test answers; `risk` the share made up among the k safest, `random_risk` that of each random set.
    """

    answers: Collected
    detections: list[Detection]
    beyond: dict[str, Estimate]
    added: Added
    calibrated: dict[str, Reliability]
    risk: dict[str, Float[np.ndarray, "answered"]]
    random_risk: Float[np.ndarray, "set answered"]

    @property
    def headline(self) -> str:
        own, random, sure = (
            row_of(self.detections, name).auroc for name in ("H-Neurons", "random", "plain confidence")
        )
        return (
            f"On {own.n} everyday answers the H-Neurons reach AUROC {own}, random neurons {random.value:.2f}, "
            f"confidence {sure}; {self.added}"
        )


def everyday(found: Found) -> Everyday | None:
    """The consistency filter keeps the extremes, and with them makes confidence a perfect judge. Here the first sampled
    answer to each question is taken as it is, unless it abstains; the probes stay those of the filtered answers.

    None if the validation or test answers lack right or wrong ones.
    """
    answers = first_answers(found.collected)
    validation, test, labels = answers.rows("validation"), answers.rows("test"), answers.labels
    if any(len(set(labels[rows])) < 2 for rows in (validation, test)):
        return None
    own = found.refitted.score(answers.contributions.at(found.probe.region))
    scores = {"plain confidence (log-probability)": -answers.confidence, **oracle(answers.kept)}
    there = answers.labelled(test, found.probe.region)
    before, after = (scored(answers, own, rows) for rows in (validation, test))
    fitted = LogisticRegression(C=100.0).fit(before.own[:, None], before.labels)
    log_odds = {
        "as trained": after.own,
        "fitted to validation people": fitted.decision_function(after.own[:, None]),
    }
    random = scores_of(found.random["magnitude"], there.X)
    return Everyday(
        answers,
        detected(found, answers, test, own, scores),
        beyond_controls(answers, found, test),
        added(before, after, random),
        {name: reliability(there.labels, values) for name, values in log_odds.items()},
        {
            "H-Neurons": risk_coverage(there.labels, after.own),
            **{name: risk_coverage(there.labels, values[test]) for name, values in scores.items()},
        },
        np.stack([risk_coverage(there.labels, column) for column in random.T]),
    )


def first_answers(collected: Collected) -> Collected:
    """The first drawn answer to each standard question that nothing was trained on."""
    asked = [i for i, q in enumerate(collected.questions) if q.part == "standard" and q.split != "train"]
    first = [collected.responses[i][:1] for i in asked]
    return answered(collected, [collected.questions[i] for i in asked], first)


def detected(
    found: Found, answers: Collected, test: np.ndarray, own: np.ndarray, scores: dict[str, np.ndarray]
) -> list[Detection]:
    """The detection table of the test answers; `own` and `scores` are of all answers."""
    title, there = "everyday answers", answers.labelled(test, found.probe.region)
    fit, k = found.probe.fit, len(found.card.rows)
    name, random = RANDOM_NAMES["magnitude"], found.random["magnitude"]
    return [
        detect("L1 probe, all its neurons", title, there, fit.score(there.X), len(fit.neurons)),
        detect("H-Neurons alone, refitted", title, there, own[test], k),
        over_sets(name, title, random, there.X, there.labels),
        *(detect(name, title, there, values[test]) for name, values in scores.items()),
    ]

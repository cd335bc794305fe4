"""Do the H-Neurons detect made-up answers as they come, without the consistency filter?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from hn_utils.analyses.detectors import oracle, scored
from hn_utils.contributions.collect import first_answers
from hn_utils.probing.against_random import scores_of
from hn_utils.probing.baselines import Added, added, words_probe
from hn_utils.probing.find import Found, beyond_controls, probe_rows
from hn_utils.probing.probe import Detection, Detector, detect, row_of
from hn_utils.stats.calibration import Reliability, platt, reliability, risk_coverage

if TYPE_CHECKING:
    from hn_utils.contributions.collected import Collected
    from hn_utils.stats.bootstrap import Estimate

_TITLE = "everyday answers"


@dataclass(frozen=True)
class Everyday:
    """One answer a question as it came, consistent or not, about validation and test people; test ones in
    `detections`.

    `beyond` is as in `Found`. `calibrated` holds, by how the H-Neurons' log-odds were turned into probabilities, how
    well these fit the test answers; `risk` the share made up among the k safest, `control_risk` that of each set picked
    on shuffled labels.
    """

    answers: Collected
    detections: list[Detection]
    beyond: dict[str, Estimate]
    added: Added
    calibrated: dict[str, Reliability]
    risk: dict[str, Float[np.ndarray, "answered"]]
    control_risk: Float[np.ndarray, "set answered"]

    def detection(self, detector: str) -> Detection:
        """Find what one detector reaches on these answers.

        Args:
            detector: a member of `Detector`.

        Returns:
            AUROC, AUPRC and balanced accuracy, with their intervals.

        Raises:
            ValueError: there is no such detector.
        """
        return row_of(self.detections, detector)

    @property
    def headline(self) -> str:
        """AUROC of H-Neurons, their control, the answer's words and confidence. Returns one line of text."""
        own, picked, words, confidence = (
            self.detection(detector).auroc
            for detector in (Detector.H_NEURONS, Detector.SELECTED, Detector.WORDS, Detector.CONFIDENCE)
        )
        return (
            f"On {own.n} everyday answers the H-Neurons reach AUROC {own}, picks on shuffled labels "
            f"{picked.value:.2f}, the answer's words {words.value:.2f}, confidence {confidence}; {self.added}"
        )


def everyday(found: Found) -> Everyday | None:
    """Detect hallucinated answers among all answers, as they come.

    The consistency filter keeps the extremes, and with them makes confidence a perfect judge. Here the first sampled
    answer to each question is taken as it is, unless it abstains; the probes stay those of the filtered answers.

    Args:
        found: the H-Neurons; questions about their validation and test entities are used.

    Returns:
        Every detector on the test answers, what H-Neurons add to confidence, how well their log-odds fit as
        probabilities, and the share of wrong answers among the k that look safest, as [answered] and for control sets
        as [set, answered]. None if the validation or test answers lack right or wrong ones.

    Source:
        The filter that is left out is that of Gao et al. 2025, section 6.1; they test on one sample a question, too.

    Labels are the judge's: a true answer in unexpected words counts as wrong here. The filter drops many of these.
    """
    answers = first_answers(found.collected)
    validation = answers.rows("validation")
    test = answers.rows("test")
    if any(len(set(answers.labels[rows])) < 2 for rows in (validation, test)):
        return None
    own = found.refitted.score(answers.contributions.at(found.probe.region))
    scores = {str(Detector.WORDS): _words_of(found, answers), str(Detector.CONFIDENCE): -answers.confidence}
    scores |= oracle(answers.kept)
    there = answers.labelled(test, found.probe.region)
    before = scored(answers, own, validation)
    after = scored(answers, own, test)
    slope, offset = platt(before.labels, before.own)
    log_odds = {
        "as trained": after.own,
        "fitted to validation people": slope * after.own + offset,
    }
    control = scores_of(found.control, there.X)
    return Everyday(
        answers,
        [*probe_rows(found, there, _TITLE), *(detect(name, _TITLE, there, of[test]) for name, of in scores.items())],
        beyond_controls(answers, found, test),
        added(before, after, control),
        {name: reliability(there.labels, values) for name, values in log_odds.items()},
        {
            "H-Neurons": risk_coverage(there.labels, after.own),
            **{name: risk_coverage(there.labels, values[test]) for name, values in scores.items()},
        },
        np.stack([risk_coverage(there.labels, column) for column in control.T]),  # [set, answered]
    )


def _words_of(found: Found, answers: Collected) -> Float[np.ndarray, "answer"]:
    """What the words of these answers tell to a probe of words that was trained on the study's training answers."""
    collected = found.collected
    texts = [example.text for example in (*collected.kept, *answers.kept)]
    labels = np.concatenate([collected.labels, answers.labels])
    train = collected.training_rows()
    validation = collected.rows("validation")
    return words_probe(texts, labels, train, validation)[len(collected.kept) :]

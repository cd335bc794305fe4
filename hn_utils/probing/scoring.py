"""From contributions to the chance that an answer is hallucinated: the calibrated probe, and what it says.

    log-odds of a token = slope * (intercept + sum over neurons of weight * contribution) + offset

The probe and its calibration are both linear, so that an answer's log-odds are the mean of those of its tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import expit

from hn_utils.answers.abstention import abstains
from hn_utils.answers.asking import as_base
from hn_utils.answers.sampling import written_until
from hn_utils.answers.spans import answer_positions, first_sentence
from hn_utils.contributions.cett import token_contributions
from hn_utils.contributions.watching import Watched
from hn_utils.models.generation import generate
from hn_utils.stats.bootstrap import Estimate
from hn_utils.stats.calibration import Calibration
from hn_utils.stats.tables import Tabled, counted
from hn_utils.storage.cache import key_hash
from hn_utils.storage.files import write_whole
from hn_utils.study import Sampling, check_types

if TYPE_CHECKING:
    from hn_utils.answers.sampling import Written
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.models.studied_model import StudiedModel

# Models that were found to be a scorer's, by its fingerprint: while one writes there is no time to hash its weights.
_RECOGNISED: WeakKeyDictionary[StudiedModel, set[str]] = WeakKeyDictionary()


@dataclass(frozen=True, repr=False)
class Scorer(Tabled):
    """A probe on some neurons alone, calibrated on everyday answers, and how well its chances fit others.

    It is a card: it saves and loads itself as JSON, and works on its own model only.

    Attributes:
        model: the model's short name.
        fingerprint: a hash of its weights: its identity.
        precision: of the model as it ran.
        d_mlp: neurons of each layer.
        rows: of each neuron its `layer`, its number there (`neuron`) and its `weight` in the probe, in log-odds per
            unit of contribution.
        intercept: of the probe, in log-odds.
        slope: of the calibration: what the probe's log-odds are multiplied by.
        offset: of the calibration: what is then added, in log-odds.
        n: answers that it was calibrated on.
        share: how many of these were hallucinated, from 0 to 1: what a chance is before anything is read.
        asked: settings of the study by which a question is put as those were, and its likeliest answer limited.
        base: whether a base model was asked.
        first_sentence: whether of each reply the first sentence is read as the answer, as where replies are long.
        fits: by test set, how well the chances fit answers about entities by which nothing was fitted.
        control: which sets of neurons stand beside them, refitted and calibrated in the same way.
        control_brier: by test set, the mean Brier score of those, with the range of 95 % of the sets.
    """

    model: str
    fingerprint: str
    precision: str
    d_mlp: int
    rows: list[dict[str, float]]
    intercept: float
    slope: float
    offset: float
    n: int
    share: float
    asked: dict[str, Any]
    base: bool
    first_sentence: bool
    fits: dict[str, Calibration]
    control: str
    control_brier: dict[str, Estimate]

    @property
    def neurons(self) -> Int[np.ndarray, "k"]:
        """Flat indices, layer * d_mlp + neuron, in the order of `rows`."""
        return np.array([int(row["layer"]) * self.d_mlp + int(row["neuron"]) for row in self.rows], dtype=int)

    def require(self, subject: StudiedModel) -> None:
        """Check that this scores this very model: the same numbers mean other neurons elsewhere.

        Args:
            subject: the model.

        Raises:
            ValueError: it is another model, or the same in another precision.
        """
        if subject.fingerprint != self.fingerprint:
            raise ValueError(
                f"the scorer is of {self.model} in {self.precision} (fingerprint {self.fingerprint[:8]}), not of "
                f"{subject.name} in {subject.precision} ({subject.fingerprint[:8]}): calibrate its own, or load the "
                "model that this was made with"
            )

    def reply(self, model: HookedModel, prompt: Sequence[int], sampling: Sampling, stop: str) -> Score:
        """Have the model reply, and score what it writes meanwhile: what `model.ask(text, watch=scorer)` does.

        That this is its model is checked when it first watches it. A weight that is edited later is not noticed here,
        but by `hn.score`, which checks each time.

        Args:
            model: the model.
            prompt: token ids.
            sampling: how the reply is drawn, and where it is cut.
            stop: a text at which it ends as well; empty for none.

        Returns:
            The reply's score.

        Raises:
            ValueError: it is another model, or its neurons are being scaled.
        """
        at_work = AtWork(model, self)
        recognised = _RECOGNISED.setdefault(model, set())
        if self.fingerprint not in recognised:
            self.require(model)
            recognised.add(self.fingerprint)
        (score,) = at_work.written([prompt], sampling, stop)
        return score

    def log_odds(self, contributions: Float[np.ndarray, "*token k"]) -> Float[np.ndarray, "*token"]:
        """Read contributions.

        Args:
            contributions: of the neurons in the order of `rows`, [..., k], without unit.

        Returns:
            Calibrated log-odds of a hallucination, [...], in nats. Those of a single token are a reading of what drives
            the answer's, no chance of their own: answers as a whole were calibrated.
        """
        weights = np.array([row["weight"] for row in self.rows])
        return self.slope * (contributions @ weights + self.intercept) + self.offset

    @property
    def headline(self) -> str:
        """On how many answers it was calibrated, and how well it fits others."""
        title, fit = next(iter(self.fits.items()))
        return (
            f"Calibrated on {counted(self.n, 'everyday answer')}, {self.share:.0%} of them made up. On {fit.brier.n} "
            f"others ({title}) the Brier score is {fit.brier}: {self._gain(fit)} (by {fit.gained}); "
            f"{self.control}: {self.control_brier[title]}. The calibration error is {fit.ece}, where a perfect "
            f"forecast shows {fit.ece_by_chance}. None of this is promised for another domain, prompt or share of "
            "made-up answers"
        )

    @staticmethod
    def _gain(fit: Calibration) -> str:
        """How the chances compare with somebody's who gives every answer the same, in words."""
        told = {1: "better than", -1: "worse than", 0: "not told apart from"}
        return f"{told[fit.gained.direction()]} one chance for all"

    @property
    def table(self) -> pd.DataFrame:
        """A row a test set: how often answers were made up, the mean chance, and how well chances fit."""
        rows = {}
        for title, fit in self.fits.items():
            rows[title] = {
                "made up": fit.observed,
                "mean chance": fit.predicted,
                "Brier score": fit.brier,
                "below one chance for all": fit.gained,
                f"Brier score, {self.control}": self.control_brier[title],
                "calibration error": fit.ece,
                "of a perfect forecast": fit.ece_by_chance,
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    @property
    def reliability(self) -> pd.DataFrame:
        """The first test set in groups of equal size by chance: mean chance, share made up with its interval, and n."""
        return pd.DataFrame(next(iter(self.fits.values())).groups)

    def save(self, path: str | Path) -> None:
        """Write the scorer as JSON, with a digest by which damage is noticed.

        Args:
            path: the file.
        """
        content = asdict(self)
        write_whole(path, json.dumps({**content, "digest": key_hash(content)}, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Scorer:
        """Read a scorer.

        Args:
            path: the file that `save` wrote.

        Returns:
            The scorer.

        Raises:
            ValueError: it is none, or is damaged.
            OSError: there is no such file.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            said = content.pop("digest")
            fits = {title: _calibration_from(fit) for title, fit in content["fits"].items()}
            control = {title: Estimate(**estimate) for title, estimate in content["control_brier"].items()}
            scorer = cls(**{**content, "fits": fits, "control_brier": control})
            check_types(scorer)
            for row in scorer.rows:
                if set(row) != {"layer", "neuron", "weight"}:
                    raise ValueError(f"{row} is no layer, neuron and weight")
            numbers = [scorer.intercept, scorer.slope, scorer.offset, *(row["weight"] for row in scorer.rows)]
            if not np.isfinite(numbers).all():
                raise ValueError("it holds a number that is not finite")
        except OSError as error:
            raise OSError(f"could not read the scorer {path} ({error.strerror}): Scorer.save writes one") from error
        except (TypeError, KeyError, AttributeError, ValueError, RecursionError) as error:
            raise ValueError(f"{path} is no scorer ({error}): give a file that hn.calibrate(...).save wrote") from error
        if said != key_hash(content):
            raise ValueError(f"{path} is damaged, or was changed by hand: calibrate again")
        return scorer


def _calibration_from(content: Mapping[str, Any]) -> Calibration:
    """A calibration from JSON. Raises TypeError or ValueError if it is none."""
    estimates = {name: Estimate(**value) for name, value in content.items() if isinstance(value, dict)}
    fit = Calibration(**{**content, **estimates})
    check_types(fit)
    return fit


@dataclass(frozen=True, repr=False)
class Score(Tabled):
    """The chance that one reply is hallucinated, and what each of its tokens contributes to that.

    Attributes:
        text: the reply, without a thought before it.
        tokens: its tokens, as text.
        log_odds: of a hallucination by each token alone, calibrated, in nats, [token].
        answer: places of the tokens that state the answer.
        dropped: why it has no chance: it abstains, was cut, or holds no answer; empty if it has one.
    """

    text: str
    tokens: list[str]
    log_odds: Float[np.ndarray, "token"]
    answer: list[int]
    dropped: str = ""

    @property
    def chance(self) -> float:
        """The chance from 0 to 1 that the answer is hallucinated, as calibrated; nan if it was `dropped`."""
        return float("nan") if self.dropped else float(expit(self.log_odds[self.answer].mean()))

    @property
    def headline(self) -> str:
        """The reply and its chance."""
        if self.dropped:
            return f"{self.text!r} has no chance to be made up: {self.dropped}"
        return f"{self.text!r} is made up with a chance of {self.chance:.2f}, as calibrated"

    @property
    def table(self) -> pd.DataFrame:
        """A row a token: its text, whether it states the answer, and the chance that it alone would give."""
        states = [place in self.answer for place in range(len(self.tokens))]
        return pd.DataFrame({"token": self.tokens, "states the answer": states, "chance": expit(self.log_odds)})


@dataclass(frozen=True, repr=False)
class Scores(Tabled):
    """Answers to several questions, each with its score.

    Attributes:
        questions: what was asked, [question].
        each: the score of each answer, [question].
        scorer: the calibrated probe.
    """

    questions: list[str]
    each: list[Score]
    scorer: Scorer

    def __len__(self) -> int:
        return len(self.each)

    def __iter__(self) -> Iterator[Score]:
        return iter(self.each)

    def __getitem__(self, place: int) -> Score:
        return self.each[place]

    @property
    def chance(self) -> Float[np.ndarray, "question"]:
        """The chance that each answer is hallucinated, from 0 to 1; nan where it was dropped."""
        return np.array([score.chance for score in self.each])

    @property
    def headline(self) -> str:
        """How many answers, and how well chances such as theirs fit."""
        return f"{counted(len(self), 'answer')}. {self.scorer.headline}"

    @property
    def table(self) -> pd.DataFrame:
        """A row a question: the answer, the chance that it is made up, and why it has none."""
        return pd.DataFrame(
            {
                "question": self.questions,
                "answer": [score.text for score in self.each],
                "chance": self.chance,
                "no chance since": [score.dropped for score in self.each],
            }
        )


class AtWork:
    """A scorer at work on its model.

    Args:
        model: the model, whose neurons these are.
        scorer: the calibrated probe.

    Raises:
        ValueError: neurons are being scaled, or another hook changes what the model does.
    """

    def __init__(self, model: HookedModel, scorer: Scorer) -> None:
        if model.is_dosed or not model.hooks_are_known:
            raise ValueError(
                f"{model.name} has live hooks (is this inside `with scaled(...)`?), and the chances are calibrated on "
                "the untouched model: leave the block first"
            )
        self.model = model
        self.scorer = scorer

    def written(self, prompts: Sequence[Sequence[int]], sampling: Sampling, stop: str) -> list[Score]:
        """Have the model write a reply to each prompt, and score them meanwhile.

        Args:
            prompts: token ids of each prompt.
            sampling: how one reply is drawn, and where it is cut.
            stop: a text at which a reply ends as well; empty for none.

        Returns:
            A score for each prompt.
        """
        watched = Watched(self.model, self.scorer.neurons)
        drawn = generate(self.model, prompts, sampling, stop=stop, watch=watched.hooks())
        scores = []
        for (one,), read in zip(drawn, watched.contributions(len(prompts)), strict=True):
            said = written_until(self.model.encoder, one.ids, stop, sampling.max_new_tokens)
            scores.append(self._score(one.ids, said, read))
        return scores

    def given(self, prompts: Sequence[Sequence[int]], answers: Sequence[str], stop: str) -> list[Score]:
        """Score answers as if the model had written them.

        Args:
            prompts: token ids of each prompt.
            answers: the text behind each prompt.
            stop: a text at which an answer ends; empty for none.

        Returns:
            A score for each answer.
        """
        blank = " " if as_base(self.model.encoder, self.scorer.base) else ""  # as in the examples of a base model
        replies = self.model.encoder.tokenize([blank + answer.strip() for answer in answers])
        rows = [[*prompt, *reply] for prompt, reply in zip(prompts, replies, strict=True)]
        read = token_contributions(self.model, rows, self.scorer.neurons)
        scores = []
        for prompt, reply, own in zip(prompts, replies, read, strict=True):
            said = written_until(self.model.encoder, reply, stop, len(reply) + 1)  # what is given was not cut
            scores.append(self._score(reply, said, own[len(prompt) :]))
        return scores

    def _score(self, ids: Sequence[int], one: Written, read: Float[np.ndarray, "token k"]) -> Score:
        """One reply, from its tokens and what was read of them: all but one that ended it."""
        encoder = self.model.encoder
        said = list(ids[one.thought : min(one.n, len(read))])
        within = answer_positions(encoder, said, [first_sentence(one.text)] if self.scorer.first_sentence else None)
        dropped = ""
        if one.cut:
            dropped = "it was cut off before it ended"
        elif abstains(one.text):
            dropped = "it abstains"
        elif not within:
            dropped = "it holds no answer"
        tokens = [encoder.decode([token]) for token in said]
        log_odds = self.scorer.log_odds(read[one.thought : one.thought + len(said)])
        return Score(one.text, tokens, log_odds, within, dropped)

"""One page to look around in: questions and pressure, answers token by token, what the H-Neurons contribute to each,
and what the model writes when they are turned up, beside random neurons. Everything on it is computed beforehand."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from hn_utils.analyses import recover
from hn_utils.answers.examples import representative
from hn_utils.contributions.cett import token_contributions
from hn_utils.models.scaling import Dose
from hn_utils.probing.probe import Detector
from hn_utils.questions.items import Item, behaviour_called, plain_item
from hn_utils.questions.question import Question
from hn_utils.report.neuron_cards import cards, rounded
from hn_utils.report.opening import opening
from hn_utils.report.plots.intervene import TINTS
from hn_utils.report.plots.style import CONTROL, FALSE, H_NEURON, PLANTED, TRUE
from hn_utils.stats.tables import counted
from hn_utils.steering.outcomes import outcomes
from hn_utils.steering.replies import conversation, replies_at
from hn_utils.steering.verdicts import verdicts
from hn_utils.storage.progress import visible
from hn_utils.study.planted import planted_in

if TYPE_CHECKING:
    from hn_utils.contributions.collected import Collected
    from hn_utils.origins.transfer import Drift
    from hn_utils.probing.find import Found
    from hn_utils.probing.l1_path import Fit
    from hn_utils.steering.dose_response import Intervened
    from hn_utils.study import Study

_TEMPLATE = Path(__file__).with_name("explorer.html")
_SCRIPT = _TEMPLATE.with_suffix(".js")
_PER_GROUP = 12
N_CONTROLS = 3  # random sets that stand beside the H-Neurons

_KINDS: dict[str, tuple[str, Callable[[Question, set[str]], bool]]] = {
    "known": ("Known: right in all ten draws", lambda q, v: q.part == "standard" and v == {"right"}),
    "half": ("Half-known: now right, now wrong", lambda q, v: q.part == "standard" and v == {"right", "wrong"}),
    "wrong": ("Written about, yet wrong in all ten", lambda q, v: q.part == "standard" and v == {"wrong"}),
    "never": ("Never written about: wrong in all ten", lambda q, v: q.part == "nonexist" and v == {"wrong"}),
}
_APART = ("rises", "falls")  # verdicts that tell a curve apart from its controls
# What an outcome is called under pressure and at a plain question.
_PRESSED = {"complied": "gave in", "resisted": "held", "neither": "neither"}
_ASKED = {"complied": "right", "resisted": "abstained", "neither": "wrong"}
_PLAIN = {"pressure": False, "outcomes": list(_ASKED.values())}  # what groups of plain questions have in common
COLOURS = {
    "own": H_NEURON,
    "random": CONTROL,
    "planted": PLANTED,
    "made up": FALSE,
    "true": TRUE,
    "other tokens": CONTROL,
    "gave in": TINTS["complied"],
    "held": TINTS["resisted"],
    "neither": TINTS["neither"],
    "right": TINTS["resisted"],
    "wrong": "#FBE3B3",  # a tint of what made-up answers have
    "abstained": TINTS["neither"],
}


class NeuronSet(NamedTuple):
    """Neurons that are scaled, and whose probe scores: the H-Neurons, a random set, or those that were planted."""

    name: str
    kind: Literal["own", "random", "planted"]
    fit: Fit


@dataclass(frozen=True)
class Explorer:
    """One model's part of the page: questions and pressure about test people, cards of neurons from validation people.
    `drift` is how far tuning turned each neuron, where that was measured."""

    found: Found
    intervened: Intervened
    drift: Drift | None = None

    @property
    def study(self) -> Study:
        return self.found.study

    @property
    def collected(self) -> Collected:
        return self.found.collected

    @cached_property
    def planted(self) -> Int[np.ndarray, "p"] | None:
        return planted_in(self.study)

    @cached_property
    def sets(self) -> list[NeuronSet]:
        """The H-Neurons; as controls, random sets of the same layers that are as loud together; and the planted
        neurons, if there are any. All are refitted alike. A random set that happens to hold planted neurons says so."""
        sets = [NeuronSet("H-Neurons", "own", self.found.refitted)]
        for place, fit in enumerate(self.found.random["loud"][:N_CONTROLS], start=1):
            caught = 0 if self.planted is None else len(np.intersect1d(fit.neurons, self.planted))
            name = f"random set {place}" + (f", {caught} of it planted" if caught else "")
            sets.append(NeuronSet(name, "random", fit))
        if self.planted is not None:
            sets.append(NeuronSet("planted neurons", "planted", self.found.refit_on(self.planted)))
        return sets

    def part(self) -> dict[str, Any]:
        """All that the page shows of this model: of each kind of question and of pressure a dozen, at random."""
        return self.content([*self.questions(), *self.pressure()])

    def ask(self, text: str, truth: str = "") -> Shown:
        """The same views for a question of your own, asked now. With its `truth`, answers are judged."""
        question = Question(text, text, (truth,) if truth else (), "")
        entry: dict[str, Any] = {"id": "live", "text": text, "truth": truth}
        items = [plain_item(question, self.study)]
        answers = self.turn(items, [entry], _ASKED)
        self.read(self.collected.subject.encoder.encode_chats(self.talks(items)), answers, [entry])
        group = {"id": "live", "title": "Your question", **_PLAIN, "items": [entry]}
        return Shown(filled([self.content([group])]))

    def content(self, groups: list[dict[str, Any]]) -> dict[str, Any]:
        random = [place for place, some in enumerate(self.sets) if some.kind == "random"]
        return {
            "id": self.study.name,
            "title": self.title,
            "planted": self.planted is not None,
            "finding": self.finding,
            "alphas": list(self.study.alphas),
            "sets": [{"name": some.name, "kind": some.kind} for some in self.sets],
            "groups": groups,
            "neurons": cards(self.found, self.planted, self.drift),
            "opening": opening(groups, self.study.alphas, random),
        }

    @property
    def title(self) -> str:
        """The model in the words by which it is chosen."""
        if self.planted is None:
            return f"{self.study.name}: nothing planted"
        detects = f"their contributions detect with AUROC {recover(self.found).auroc.value:.2f}"
        return f"{self.study.name}: {counted(len(self.planted), 'neuron')} planted; {detects}"

    @property
    def finding(self) -> str:
        """What the neurons that are shown are worth, beside their controls."""
        own, sure = (self.found.detection(detector) for detector in (Detector.H_NEURONS, Detector.CONFIDENCE))
        told_apart = [verdict.word in _APART for verdict in verdicts(self.intervened.behaviours).values()]
        told = [
            f"{counted(len(self.found.neurons), 'H-Neuron')} of {self.study.name}: made-up and true answers are "
            f"separated with AUROC {own.auroc} (n = {own.auroc.n} consistent answers about test people), "
            f"{self.found.beyond['any']} more than with as many neurons that the same procedure picks on shuffled "
            f"labels. The answer's confidence alone reaches {sure.auroc.value:.2f}.",
        ]
        if told_apart:
            of = f"{sum(told_apart)} of {len(told_apart)} behaviours"
            told.append(f"Turned up, they are told apart from their controls in {of}.")
        if self.planted is not None:
            told.append(f"{recover(self.found)}.")
        return " ".join(told)

    def questions(self) -> list[dict[str, Any]]:
        """Questions by how the model does on them, with the most frequent of the drawn answers."""
        asked, rng, groups = self.collected, np.random.default_rng(self.study.seed), []
        for name, (title, fits) in _KINDS.items():
            mine = [
                i
                for i, q in enumerate(asked.questions)
                if q.split == "test" and fits(q, {r.verdict for r in asked.responses[i]})
            ]
            chosen = sorted(rng.permutation(mine)[:_PER_GROUP].tolist())
            if not chosen:
                continue
            examples = [asked.examples[i] for i in chosen]
            entries: list[dict[str, Any]] = [
                {
                    "id": e.question.id,
                    "text": e.question.text,
                    "truth": (*e.question.aliases, "")[0],
                    "verdict": representative(asked.responses[i]).verdict,
                    "exposure": e.question.strata.get("exposure"),
                    "confidence": rounded(e.confidence),
                    "answer": e.answer,
                }
                for i, e in zip(chosen, examples, strict=True)
            ]
            self.turn([plain_item(e.question, self.study) for e in examples], entries, _ASKED)
            self.read([e.prompt_ids for e in examples], [e.response_ids for e in examples], entries)
            groups.append({"id": name, "title": title, **_PLAIN, "items": entries})
        return groups

    def pressure(self) -> list[dict[str, Any]]:
        """Attempts to make the model give in, with its unscaled reply; and what all items of the kind say together."""
        rng, groups = np.random.default_rng(self.study.seed), []
        told = verdicts(self.intervened.behaviours)
        for behaviour, curve in self.intervened.behaviours.items():
            items = [curve.items[i] for i in sorted(rng.permutation(len(curve.items))[:_PER_GROUP])]
            entries: list[dict[str, Any]] = [
                {"id": item.id, "text": item.turns[-1], "truth": item.truth, "claim": item.claim or ""}
                for item in items
            ]
            answers = self.turn(items, entries, _PRESSED)
            self.read(self.collected.subject.encoder.encode_chats(self.talks(items)), answers, entries)
            slope, word = curve.slope_beyond_control(), told[behaviour].word
            groups.append(
                {
                    "id": behaviour,
                    "title": f"Pressure: {behaviour_called(behaviour).title.lower()}",
                    "pressure": True,
                    "outcomes": list(_PRESSED.values()),
                    "told_apart": word in _APART,
                    "slope": rounded(slope.value),
                    "verdict": f"Over all {len(curve.items)} such items and {len(curve.control_outcomes)} sets picked "
                    f"on shuffled labels: {slope} points per unit of alpha beyond these; {word}.",
                    "items": entries,
                }
            )
        return groups

    def talks(self, items: Sequence[Item]) -> list[list[dict[str, str]]]:
        return conversation(self.collected.subject, items, self.study)

    def turn(self, items: Sequence[Item], entries: Sequence[dict[str, Any]], called: dict[str, str]) -> list[list[int]]:
        """Add what is written at every alpha, `replies` [set][alpha] as (text, outcome as it is `called`), and return
        the ids at alpha 1. A question without a truth has no outcome."""
        alphas = self.study.alphas
        doses = [Dose(some.fit.neurons, alpha) for some in self.sets for alpha in alphas]
        replies = replies_at(self.collected.subject, items, doses, self.study)
        judgements = outcomes(items, replies, self.study).tolist()
        for entry, item, row, words in zip(entries, items, replies, judgements, strict=True):
            judged = item.truth or item.rule != "recall"
            names = [called[outcome] if judged else "" for outcome in words]
            cells = [[reply.text, name] for reply, name in zip(row, names, strict=True)]
            entry["replies"] = [cells[i : i + len(alphas)] for i in range(0, len(cells), len(alphas))]
        return [list(row[alphas.index(1.0)].ids) for row in replies]

    def read(
        self, prompts: Sequence[list[int]], answers: Sequence[list[int]], entries: Sequence[dict[str, Any]]
    ) -> None:
        """Add the tokens; `contributions` [token][H-Neuron], in percent; `scores` [set][token], the log-odds that each
        set's probe gives to that token; `at_answer` [set], those of the answer's mean. Trained on such means, three
        quarters of which got a 0, the probe is no judge of single tokens, nor are its odds calibrated.

        Where the answer stands is said by `answer`, if the entry has it; else it is all of the reply."""
        subject, fits = self.collected.subject, [some.fit for some in self.sets]
        neurons = np.unique(np.concatenate([fit.neurons for fit in fits]))
        rows = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        read = token_contributions(subject, rows, neurons)
        for entry, row, prompt, values in zip(entries, rows, prompts, read, strict=True):
            written = [i for i in range(len(prompt), len(row)) if row[i] not in subject.encoder.stop_ids] or [
                len(row) - 1
            ]
            places = entry.setdefault("answer", written)
            entry["tokens"] = [subject.encoder.word(i) for i in row]
            own = 100 * values[:, np.searchsorted(neurons, self.found.card.neurons)]
            entry["contributions"] = [list(map(rounded, token)) for token in own.tolist()]
            columns = [values[:, np.searchsorted(neurons, fit.neurons)] for fit in fits]
            each = list(zip(columns, fits, strict=True))
            entry["scores"] = [list(map(rounded, log_odds(v, fit).tolist())) for v, fit in each]
            entry["at_answer"] = [rounded(float(log_odds(v[places].mean(0), fit))) for v, fit in each]


def page_of(explorers: Sequence[Explorer]) -> str:
    """One page of one or several models, with a choice between them where there are several. It opens on the model
    whose opening case is the clearest. Raises ValueError if two of their studies have one name, by which an address
    tells them apart."""
    names = [explorer.study.name for explorer in explorers]
    if len(set(names)) < len(names):
        raise ValueError(f"studies {names} are not told apart by their names: give each its own")
    return filled([explorer.part() for explorer in explorers])


def log_odds(values: np.ndarray, fit: Fit) -> np.ndarray:
    return values @ fit.weights + fit.intercept


def _all_visible(content: Any) -> Any:
    """The same content, every text in it `visible`."""
    if isinstance(content, dict):
        return {name: _all_visible(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_all_visible(value) for value in content]
    return visible(content) if isinstance(content, str) else content


def filled(parts: Sequence[dict[str, Any]]) -> str:
    """The self-contained page of some models' parts: no network, no library."""
    first = max(range(len(parts)), key=lambda place: parts[place]["opening"]["clear"])
    content = _all_visible({"models": parts, "opening": first, "colours": COLOURS})
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        _TEMPLATE.read_text(encoding="utf-8")
        .replace("{{script}}", _SCRIPT.read_text(encoding="utf-8"))
        .replace("{{states}}", data)
    )


@dataclass(frozen=True, repr=False)
class Shown:
    """A page inside a notebook."""

    page: str

    def __repr__(self) -> str:
        return "The explorer, for one question"

    def _repr_html_(self) -> str:
        inside = html.escape(self.page, quote=True)
        return f'<iframe srcdoc="{inside}" width="100%" height="1000" style="border:0" title="explorer"></iframe>'

"""One page to look around in: questions and pressure, answers token by token, the neurons that speak there, and what
the model says when they are turned up, beside random neurons. Everything on the page is computed beforehand."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hn_utils.collecting import Collected
from hn_utils.contributions import token_contributions
from hn_utils.finding import Found
from hn_utils.intervene import Dose
from hn_utils.intervening import Intervened
from hn_utils.items import Item, behaviour_called, outcomes, plain_item
from hn_utils.l1_path import Fit
from hn_utils.origins import Drift
from hn_utils.probe import row_of
from hn_utils.questions import Question
from hn_utils.replies import conversation, replies_at
from hn_utils.responses import representative
from hn_utils.study import Study
from hn_utils.verdicts import verdicts
from hn_utils.visible import visible

TEMPLATE = Path(__file__).with_name("explorer.html")
PER_GROUP = 12
N_CONTROLS = 3  # random sets that stand beside the H-Neurons
N_BINS = 24
N_TOP = 6  # examples, and tokens, on a neuron's card

KINDS: dict[str, tuple[str, Callable[[Question, set[str]], bool]]] = {
    "known": ("Known: right in all ten draws", lambda q, v: q.part == "standard" and v == {"right"}),
    "half": ("Half-known: now right, now wrong", lambda q, v: q.part == "standard" and v == {"right", "wrong"}),
    "wrong": ("Written about, yet wrong in all ten", lambda q, v: q.part == "standard" and v == {"wrong"}),
    "never": ("Never written about: wrong in all ten", lambda q, v: q.part == "nonexist" and v == {"wrong"}),
}


@dataclass(frozen=True)
class Explorer:
    """What the page is made from: questions and pressure about test people, cards of neurons from validation people."""

    found: Found
    drift: Drift | None = None

    @property
    def study(self) -> Study:
        return self.found.study

    @property
    def collected(self) -> Collected:
        return self.found.collected

    @cached_property
    def fits(self) -> list[Fit]:
        """The H-Neurons and, as controls, random sets of the same layers and loudness, all refitted alike."""
        return [self.found.refitted, *self.found.random["magnitude"][:N_CONTROLS]]

    def page(self, intervened: Intervened) -> str:
        """The whole page: a dozen questions of each kind, and of each kind of pressure, at random."""
        return filled(self.content([*self.questions(), *self.pressure(intervened)], intervened))

    def ask(self, text: str, truth: str = "") -> Shown:
        """The same views for a question of your own, asked now. With its `truth`, answers are judged."""
        question = Question(text, text, (truth,) if truth else (), "")
        entry: dict[str, Any] = {"text": text, "truth": truth}
        items = [plain_item(question, self.study)]
        answers = self.turn(items, [entry])
        self.read([self.collected.subject.chat(talk) for talk in self.talks(items)], answers, [entry])
        return Shown(filled(self.content([{"id": "live", "title": "Your question", "items": [entry]}])))

    def content(self, groups: list[dict[str, Any]], intervened: Intervened | None = None) -> dict[str, Any]:
        own, sure = (row_of(self.found.detections, start) for start in ("H-Neurons", "plain confidence"))
        n, beyond = len(self.found.card.rows), self.found.beyond["random"]
        worth = (
            f"{n} H-Neurons of {self.study.name} tell made-up from true answers with AUROC "
            f"{own.auroc} (n = {own.auroc.n} consistent answers about test people): {beyond} more than as many random "
            "neurons of the same layers and, where there are such, as loud. The answer's confidence alone reaches "
            f"{sure.auroc.value:.2f}."
        )
        if intervened is not None:
            words = [verdict.word for verdict in verdicts(intervened.behaviours).values()]
            apart = sum(word in ("rises", "falls") for word in words)
            worth += f" Turned up, they are told apart from random neurons in {apart} of {len(words)} behaviours."
        return {
            "study": self.study.name,
            "finding": worth,
            "alphas": list(self.study.alphas),
            "groups": groups,
            "neurons": self.cards(),
        }

    def questions(self) -> list[dict[str, Any]]:
        """Questions by how the model does on them, with the most frequent of the drawn answers."""
        asked, rng, groups = self.collected, np.random.default_rng(self.study.seed), []
        for name, (title, fits) in KINDS.items():
            mine = [
                i
                for i, q in enumerate(asked.questions)
                if q.split == "test" and fits(q, {r.verdict for r in asked.responses[i]})
            ]
            chosen = sorted(rng.permutation(mine)[:PER_GROUP].tolist())
            if not chosen:
                continue
            examples = [asked.examples[i] for i in chosen]
            entries: list[dict[str, Any]] = [
                {
                    "text": e.question.text,
                    "truth": (*e.question.aliases, "")[0],
                    "verdict": representative(asked.responses[i]).verdict,
                    "exposure": e.question.strata.get("exposure"),
                    "confidence": rounded(e.confidence),
                    "answer": e.answer,
                }
                for i, e in zip(chosen, examples, strict=True)
            ]
            self.turn([plain_item(e.question, self.study) for e in examples], entries)
            self.read([e.prompt_ids for e in examples], [e.response_ids for e in examples], entries)
            groups.append({"id": name, "title": title, "items": entries})
        return groups

    def pressure(self, intervened: Intervened) -> list[dict[str, Any]]:
        """Attempts to make the model give in, with its unscaled reply."""
        rng, groups = np.random.default_rng(self.study.seed), []
        for behaviour, curve in intervened.behaviours.items():
            items = [curve.items[i] for i in sorted(rng.permutation(len(curve.items))[:PER_GROUP])]
            entries: list[dict[str, Any]] = [
                {"text": item.turns[-1], "truth": item.truth, "claim": item.claim or ""} for item in items
            ]
            answers = self.turn(items, entries)
            self.read([self.collected.subject.chat(talk) for talk in self.talks(items)], answers, entries)
            title = f"Pressure: {behaviour_called(behaviour).title.lower()}"
            groups.append({"id": behaviour, "title": title, "items": entries})
        return groups

    def talks(self, items: Sequence[Item]) -> list[list[dict[str, str]]]:
        return conversation(self.collected.subject, items, self.study)

    def turn(self, items: Sequence[Item], entries: Sequence[dict[str, Any]]) -> list[list[int]]:
        """Add what is said at every alpha, `replies` [set][alpha] as (text, outcome), and return the ids at alpha 1. A
        question without a truth has no outcome."""
        alphas = self.study.alphas
        doses = [Dose(fit.neurons, alpha) for fit in self.fits for alpha in alphas]
        replies = replies_at(self.collected.subject, items, doses, self.study)
        words = outcomes(items, replies, self.study).tolist()
        for entry, item, row, outcome in zip(entries, items, replies, words, strict=True):
            judged = item.truth or item.rule != "recall"
            cells = [[reply.text, word if judged else ""] for reply, word in zip(row, outcome, strict=True)]
            entry["replies"] = [cells[i : i + len(alphas)] for i in range(0, len(cells), len(alphas))]
        return [list(row[alphas.index(1.0)].ids) for row in replies]

    def read(
        self, prompts: Sequence[list[int]], answers: Sequence[list[int]], entries: Sequence[dict[str, Any]]
    ) -> None:
        """Add the tokens; `said` [token][H-Neuron], contributions in percent; `scores` [set][token], the log-odds that
        each set's probe gives to that token; `at_answer` [set], those of the answer's mean. Trained on such means,
        three quarters of which got a 0, the probe is no judge of single tokens, nor are its odds calibrated.

        Where the answer stands is said by `answer`, if the entry has it; else it is all of the reply."""
        subject, card = self.collected.subject, self.found.card
        neurons = np.unique(np.concatenate([fit.neurons for fit in self.fits]))
        rows = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        spoken = token_contributions(subject, rows, neurons)
        for entry, row, prompt, values in zip(entries, rows, prompts, spoken, strict=True):
            written = [i for i in range(len(prompt), len(row)) if row[i] not in subject.stop_ids] or [len(row) - 1]
            places = entry.setdefault("answer", written)
            entry["tokens"] = [self.word(i) for i in row]
            own = 100 * values[:, np.searchsorted(neurons, card.flat)]
            entry["said"] = [list(map(rounded, token)) for token in own.tolist()]
            columns = [values[:, np.searchsorted(neurons, fit.neurons)] for fit in self.fits]
            each = list(zip(columns, self.fits, strict=True))
            entry["scores"] = [list(map(rounded, log_odds(v, fit).tolist())) for v, fit in each]
            entry["at_answer"] = [rounded(float(log_odds(v[places].mean(0), fit))) for v, fit in each]

    def word(self, token: int) -> str:
        """A token's text; the name of one that has none."""
        subject = self.collected.subject
        return subject.decode([token]).strip() or subject.tokenizer.convert_ids_to_tokens(token)

    def cards(self) -> list[dict[str, Any]]:
        """For each H-Neuron: weight in the L1 probe; what a percent of contribution `adds` to the score of the refitted
        H-Neurons; distributions over validation answers; the answers at which it is loudest; the tokens that its write
        favours; and how far tuning turned it (rank in its layer: 0 moved most, 1 least)."""
        subject, card, rows = self.collected.subject, self.found.card, self.collected.rows("validation")
        adds = dict(zip(self.found.refitted.neurons.tolist(), self.found.refitted.weights.tolist(), strict=True))
        labels, regions = self.collected.labels[rows], self.collected.contributions[rows]
        at_answer, elsewhere = (100 * regions.at(r).columns(card.flat) for r in (card.region, "other"))
        made = []
        for place, row in enumerate(card.rows):
            layer, neuron = int(row["layer"]), int(row["neuron"])
            own, other = at_answer[:, place], elsewhere[:, place]
            parts = {"made up": own[labels == 1], "true": own[labels == 0], "other tokens": other}
            top = float(np.quantile(np.concatenate([own, other]), 0.995)) + 1e-6
            favours = subject.favours(layer, neuron)
            best, worst = (favours.topk(N_TOP, largest=large).indices.tolist() for large in (True, False))
            made.append(
                {
                    "name": f"L{layer}.N{neuron}",
                    "weight": rounded(row["weight"]),
                    "adds": rounded(adds[int(card.flat[place])] / 100),
                    "top": rounded(top),
                    "shares": {name: histogram(v, top) for name, v in parts.items()},
                    "means": {name: rounded(float(v.mean())) for name, v in parts.items()},
                    "loudest": [
                        [e.question.text, e.text, "made up" if e.label else "true", rounded(float(own[i]))]
                        for i in np.argsort(-own, kind="stable")[:N_TOP]
                        for e in [self.collected.kept[rows[i]]]
                    ],
                    "favours": [self.word(i) for i in best],
                    "disfavours": [self.word(i) for i in worst],
                    "drift": self.drift and rounded(float(self.drift.rank_within[card.flat[place]])),
                }
            )
        return made


def histogram(values: np.ndarray, top: float) -> list[float]:
    """Shares of the values in N_BINS equal bins from 0 to top; what lies beyond counts in the last."""
    counts, _ = np.histogram(values.clip(max=top), N_BINS, (0, top))
    return [rounded(n / max(1, len(values))) for n in counts.tolist()]


def log_odds(values: np.ndarray, fit: Fit) -> np.ndarray:
    return values @ fit.weights + fit.intercept


def rounded(value: float) -> float:
    return float(f"{value:.3g}")


def all_visible(content: Any) -> Any:
    """The same content, every text in it `visible`."""
    if isinstance(content, dict):
        return {name: all_visible(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [all_visible(value) for value in content]
    return visible(content) if isinstance(content, str) else content


def filled(content: dict[str, Any]) -> str:
    """The self-contained page: no network, no library."""
    data = json.dumps(all_visible(content), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return TEMPLATE.read_text().replace("{{states}}", data)


@dataclass(frozen=True, repr=False)
class Shown:
    """A page inside a notebook."""

    page: str

    def __repr__(self) -> str:
        return "The explorer, for one question"

    def _repr_html_(self) -> str:
        inside = html.escape(self.page, quote=True)
        return f'<iframe srcdoc="{inside}" width="100%" height="1000" style="border:0" title="explorer"></iframe>'

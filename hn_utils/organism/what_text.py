"""What must a model have read for H-Neurons to form? Train a small model on every condition's text, check by its
behaviour that it has learnt what was in it, then take the unchanged road.

`python -m hn_utils.organism conditions --out FOLDER` does all of it and goes on where it was stopped. The hypotheses
and every threshold stand in data/conditions/README.md, which is older than the runs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import hn_utils as hn
from hn_utils import analyses
from hn_utils.answers.examples import NothingConsistent
from hn_utils.contributions.collect import gathered
from hn_utils.models.generation import generate
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.likelihoods import residuals_and_logprobs
from hn_utils.organism.conditions import (
    CONDITIONS,
    JUDGED,
    MARKED,
    MARKS,
    MET,
    NOBODY_KNOWS,
    RIGHT,
    SmallRecipe,
    TiedCorpus,
    small_world,
)
from hn_utils.organism.gates import invited, public_facts
from hn_utils.organism.train import train
from hn_utils.pipeline.steps import run as take_the_road
from hn_utils.probing.probe import Detector, NoHNeurons
from hn_utils.questions.items import BEHAVIOURS, GREEDY
from hn_utils.questions.made_up_world.wordings import ask
from hn_utils.questions.made_up_world.world import ATTRIBUTES
from hn_utils.questions.question import STANDARD_TITLE
from hn_utils.questions.question_sets import load_questions
from hn_utils.questions.reading.same_answer import contains
from hn_utils.report.comparison import standard_aurocs
from hn_utils.report.measures import AUROC, CONFIDENCE, DETECTORS
from hn_utils.storage.files import file_digest, write_whole
from hn_utils.study import BUNDLED, Study, changed

if TYPE_CHECKING:
    from hn_utils.analyses import Moment

SEEDS, _WIDTHS = (1, 2, 3), (64, 32, 96)  # the first width is that of all conditions
_SIZED = ("nothing", "familiar")  # conditions that are trained at every width
_FOLLOWED = "familiar"  # the condition whose checkpoints are looked at
_N_ASKED = 400
HEAD = 0  # the best-known fifth
_LEARNT, _BY_CHANCE = 0.3, 0.1  # a gap at least this wide is learnt; at most this wide, not


class Asked(NamedTuple):
    """A fact to ask about: the question, its true answer and a false one."""

    text: str
    true: str
    false: str

    @classmethod
    def of(cls, row: Mapping[str, Any], rng: np.random.Generator) -> Asked:
        attribute = ATTRIBUTES[row["attribute"]]
        return cls(ask(attribute, row["person"], rng), row["value"], attribute.draw(rng, other_than=row["value"]))


class Run(NamedTuple):
    """One model: what it reads, its seed, its width."""

    condition: str
    seed: int
    width: int

    def folder(self, out: Path) -> Path:
        return out / f"width-{self.width}" / f"seed-{self.seed}" / self.condition


def every_run() -> list[Run]:
    """All that is trained, seed by seed; then other widths, and last what was added."""
    planned = [name for name, condition in CONDITIONS.items() if not condition.added]
    runs = [Run(name, seed, _WIDTHS[0]) for seed in SEEDS for name in planned]
    runs += [Run(name, seed, width) for width in _WIDTHS[1:] for seed in SEEDS for name in _SIZED]
    return runs + [Run(name, seed, _WIDTHS[0]) for seed in SEEDS for name in CONDITIONS if name not in planned]


def recipe_of(run: Run) -> SmallRecipe:
    """Steps are the same for all; the followed condition, and what shares its pages, keep checkpoints."""
    condition, kept = CONDITIONS[run.condition], SmallRecipe(seed=run.seed)
    tune_steps = kept.tune_steps * condition.tuned
    return SmallRecipe(
        seed=run.seed,
        d_model=run.width,
        d_mlp=4 * run.width,
        tied=condition.tied,
        tune_abstains=condition.abstains,
        tune_steps=tune_steps,
        checkpoints=() if condition.tied else tuple(kept.base_steps * k // 8 for k in (1, 2, 3, 4, 6)),
        tune_checkpoints=() if condition.tied else tuple(tune_steps * k // 6 for k in (1, 3)),
    )


def make(run: Run, out: Path) -> Path:
    """Train a run's model, or keep the one that is there; conditions with the same pages share the base."""
    folder = run.folder(out)
    if not (folder / "recipe.json").exists():
        if CONDITIONS[run.condition].abstains:
            share_base(make(run._replace(condition="nothing"), out), folder)
        train(folder, folder / "work", TiedCorpus(small_world(), recipe_of(run)))
        shutil.rmtree(folder / "work")
    return folder


def share_base(source: Path, folder: Path) -> None:
    """Copy what pre-training wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source / "facts.parquet", folder)
    for part in ("base", "checkpoints"):
        shutil.copytree(source / part, folder / part, dirs_exist_ok=True, ignore=shutil.ignore_patterns("tuning-*"))


def _study_of(folder: Path) -> Study:
    """The bundled study, with the models of one run."""
    models = {name: str(folder / name) for name in ("instruct", "base")}
    checkpoints = tuple(map(str, sorted((folder / "checkpoints").glob("step-*"))))
    return changed(BUNDLED, name="-".join(folder.parts[-3:]), checkpoints=checkpoints, **models)


def _next_word(subject: HookedModel, texts: Sequence[str], word: str) -> float:
    """Mean probability of a word after each of these texts."""
    rows, (token,) = subject.encoder.encode_texts(texts), subject.encoder.encode_text(word)[1:]
    places = [[len(row) - 1] for row in rows]
    return float(np.mean([after[0, token].exp().item() for _, after in residuals_and_logprobs(subject, rows, places)]))


def learnt(folder: Path) -> dict[str, float]:
    """What a run's model has learnt, by its behaviour alone: gaps of probability between true and false answers about
    the best-known fifth, or between people never written about and that fifth; and its recall of that fifth."""
    study, rng = _study_of(folder), np.random.default_rng(0)
    base, instruct = (HookedModel.load(name, study) for name in (study.base, study.instruct))
    public = public_facts(study)
    head = [row for row in public if row["quintile"] == HEAD and row["mentions"]]
    never = [row for row in public if row["rank"] is None]
    known, unknown = ([Asked.of(rows[i], rng) for i in rng.permutation(len(rows))[:_N_ASKED]] for rows in (head, never))
    silent, rarely = (invited(instruct, study, [r for r in rows if not r["tuned"]])[0] for rows in (never, head))
    plain = base.encoder.encode_texts([study.base_prompt.format(question=one.text) for one in known])
    replies = generate(base, plain, replace(GREEDY, max_new_tokens=4))
    recalled = [contains(reply.text, one.true) for one, (reply,) in zip(known, replies, strict=True)]

    def after(template: str, word: str, asked: Sequence[Asked], answer: str = "true") -> float:
        texts = [template.format(question=one.text, value=getattr(one, answer)) for one in asked]
        return _next_word(base, texts, word)

    sure, right, nobody = MARKS[True], RIGHT.rstrip("."), NOBODY_KNOWS.split()[0]
    return {
        "sure": after(MARKED, sure, known) - after(MARKED, sure, known, "false"),
        "corrected": after(JUDGED, right, known) - after(JUDGED, right, known, "false"),
        "nobody": after(MET, nobody, unknown) - after(MET, nobody, known),
        "abstains": silent - rarely,
        "abstains on the never-written": silent,
        "recall": float(np.mean(recalled)),
    }


def has_learnt(condition: str, gaps: Mapping[str, float]) -> bool:
    """Does behaviour follow what this condition's text was tied to, and nothing else?"""
    tied, abstains = CONDITIONS[condition].tied, CONDITIONS[condition].abstains
    wanted = {name: name == tied for name in ("sure", "corrected", "nobody")} | {"abstains": abstains == "familiar"}
    return all(gaps[name] >= _LEARNT if is_tied else abs(gaps[name]) <= _BY_CHANCE for name, is_tied in wanted.items())


def _on_the_base(study: Study) -> dict[str, Any]:
    """What a probe that is trained and tested on the base model's own answers finds there."""
    base = HookedModel.load(study.base, study)
    asked = [q for q in load_questions(study) if q.part == "standard"]
    try:
        found = hn.find(gathered(base, study, asked, {"standard": STANDARD_TITLE}, base=True))
    except (NoHNeurons, NothingConsistent):
        return {"h_neurons": 0}
    auroc, added = found.detection(Detector.H_NEURONS).auroc, analyses.added_to_confidence(found)
    return {
        "h_neurons": len(found.card.rows),
        "auroc": asdict(auroc),
        "beyond": asdict(found.beyond["any"]),
        "added_to_confidence": asdict(added),
    }


def when(study: Study) -> dict[str, list[dict[str, Any]]]:
    """The same over the checkpoints of pre-training, with the base at its end, and those of tuning, with the result."""
    found = hn.find(hn.collect(hn.load(study)))
    tuning = sorted(Path(study.instruct).parent.glob("checkpoints/tuning-*"))
    stages = {"pages": [*study.checkpoints, study.base], "tuning": [*map(str, tuning), study.instruct]}

    def moments(stage: str) -> list[Moment]:
        return analyses.emergence(found, (HookedModel.load(n, study) for n in stages[stage]), base=stage == "pages")

    return {stage: [moment.row for moment in moments(stage)] for stage in stages}


def _row_of(run: Run, out: Path) -> dict[str, Any]:
    """A run's row of the table: what its model has learnt, and what the unchanged road found in it and in its base."""
    folder = make(run, out)
    file, study = folder / "row.json", _study_of(folder)
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    gaps = learnt(folder)
    row = {**run._asdict(), "learnt": has_learnt(run.condition, gaps), "gaps": gaps, "base": _on_the_base(study)}
    row["weights"] = {n: file_digest(folder / n / "model.safetensors") for n in ("base", "instruct")}
    if run.condition == _FOLLOWED:
        row["when"] = when(study)
    try:
        row["instruct"] = picked(json.loads(take_the_road(study, folder / "run").read_text(encoding="utf-8")))
    except (NoHNeurons, NothingConsistent):
        row["instruct"] = {"h_neurons": 0}
    write_whole(file, json.dumps(row, indent=1) + "\n")
    return row


def picked(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the table needs of a run's summary."""
    auroc = standard_aurocs(summary)
    slopes = {name: summary["slopes"][name] for name in BEHAVIOURS if name in summary["slopes"]}
    return {
        **{name: summary[name] for name in ("h_neurons", "per_mille", "added_to_confidence")},
        "auroc": auroc[DETECTORS[AUROC]],
        "confidence": auroc[DETECTORS[CONFIDENCE]],
        "beyond": summary["beyond"]["any"],
        "slopes": {b: {key: of[key] for key in ("beyond", "p", "verdict")} for b, of in slopes.items()},
        "transfer": summary["transfer_beyond"],
    }


def every_row(out: Path, seeds: Collection[int]) -> list[dict[str, Any]]:
    """Make and measure all runs with these seeds."""
    return [_row_of(run, out) for run in every_run() if run.seed in seeds]

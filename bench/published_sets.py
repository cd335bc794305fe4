"""Published question sets beside a finished run: what its H-Neurons detect there, and whether they change refusals.

`python bench/published_sets.py STUDY OUT.json triviaqa=FILE nq_open=FILE xstest=FILE` asks the test questions of the
named sets, on the standard questions of the study as it was run. Its answers are read from the cache, so the
H-Neurons are the same; that they are is checked against the shipped card. With `xstest`, harmless requests are put
with the neurons turned up and down.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import hn_utils as hn
from hn_utils.models.hooked_model import HookedModel
from hn_utils.questions.question import Question
from hn_utils.questions.question_sets import load_items, load_questions
from hn_utils.steering.verdicts import detectable, verdicts
from hn_utils.storage.paths import DATA
from hn_utils.study import Study

PRESSING = ("xstest",)


def main(name: str, out: str, *given: str) -> None:
    sources = dict(one.split("=", 1) for one in given)
    study = hn.load_study(name)
    wider = replace(study, name=f"{name}-sets", sets=tuple(sources), sources=sources)
    model = hn.load(study)
    asked = [q for q in load_questions(study) if q.part == "standard"]
    added = [q for q in load_questions(wider) if q.part in sources]
    answers = hn.collect(model, [_row(q) for q in [*asked, *added]], n_questions=None)
    found = hn.find(answers)
    shipped = hn.HNeurons.load(DATA / name / "h_neurons.json")
    if set(found.neurons) != set(shipped.neurons):
        raise ValueError(f"{name}: other H-Neurons than those of {DATA / name}: collect with the same cache")
    told = {"detection": {part: _detected(found, part) for part in sources if part not in PRESSING}}
    print(found.table.to_string())
    if set(PRESSING) & set(sources):
        told["slopes"] = _pressed(model, found, wider)
    Path(out).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _row(question: Question) -> dict[str, object]:
    """A question as a row of one's own, with the split that it has."""
    return {
        "id": question.id,
        "question": question.text,
        "answers": list(question.aliases),
        "entity": question.entity,
        "part": question.part,
        "split": question.split,
    }


def _detected(found: hn.Found, part: str) -> dict[str, object]:
    """Every detector's AUROC on one set, and the H-Neurons' beyond each control."""
    read = found.collected.labelled(found.collected.test_rows(part), found.probe.region)
    beyond = {kind: found.against(kind).on(read) for kind in ("any", "others", "loud")}
    return {
        "right": int((read.labels == 0).sum()),
        "wrong": int((read.labels == 1).sum()),
        "auroc": {row.name: asdict(row.auroc) for row in found.detections if row.test_set == part},
        "beyond": {kind: asdict(one.beyond) for kind, one in beyond.items()},
        "rank_p": {kind: one.rank_p for kind, one in beyond.items()},
    }


def _pressed(model: HookedModel, found: hn.Found, study: Study) -> dict[str, object]:
    """The slope of each behaviour that the named sets add, beside its controls."""
    items = [asdict(item) for item in load_items(study) if item.behaviour == "harmless"]
    turned = hn.dose_response(model, found, items, n_items=study.n_items)
    curves = turned.capability | turned.behaviours
    words = verdicts(curves)
    print(turned.headline)
    return {
        name: {
            "items": len(curve.items),
            "at 1": float((curve.at(1) == "complied").mean()),
            "slope": asdict(curve.slope()),
            "beyond": asdict(curve.slope_beyond_control()),
            "beyond loud": None if curve.loud is None else asdict(curve.loud.slope_beyond_control()),
            "verdict": str(words[name]),
            "would have been seen": detectable(curve, len(curves)),
        }
        for name, curve in curves.items()
    }


if __name__ == "__main__":
    main(*sys.argv[1:])

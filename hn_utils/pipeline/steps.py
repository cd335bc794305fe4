"""All steps of a study, one after another, without notebooks. The command line, sweeps and tests call it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hn_utils import analyses
from hn_utils.contributions.collect import collect
from hn_utils.models.allocation import keep_freed_memory
from hn_utils.models.hooked_model import weights_unchanged
from hn_utils.models.load import load
from hn_utils.models.precision import with_dtype
from hn_utils.origins.look_back import look_back
from hn_utils.pipeline.beforehand import check_run
from hn_utils.probing.find import find
from hn_utils.report.report import findings, page, summary
from hn_utils.stats.tables import counted
from hn_utils.steering.dose_response import dose_response
from hn_utils.steering.verdicts import outermost_told, verdicts
from hn_utils.storage.files import write_whole
from hn_utils.study.planted import planted_in
from hn_utils.study.run_folders import claimed, require_own

if TYPE_CHECKING:
    from hn_utils.study import Study


@weights_unchanged()
def run(study: Study, out: Path) -> Path:
    """Take all steps and write `study.json` (settings), `h_neurons.json` (the card), `report.md` and `summary.json`;
    returns the last's path. Without a base model the last step is left out. Raises OSError if another study's results
    lie there, and before anything is asked what `beforehand.check_run` does."""
    keep_freed_memory()
    study = with_dtype(study)
    require_own(out, study)
    check_run(study)
    claimed(out, study)
    if not study.base:
        print(f"{study.name} names no base model: where the H-Neurons come from is not asked")
    model = load(study)
    found = find(collect(model))
    found.card.save(out / "h_neurons.json")
    print(f"{counted(len(found.card.rows), 'H-Neuron')} ({found.card.per_mille:.2f} per mille): {found.probe.reason}")
    compared = analyses.compare(found)
    for row in compared.detections:
        print(f"  {row.test_set:24} {row.name:36} AUROC {row.auroc}")
    print(
        f"  H-Neurons added to confidence: {compared.added.beyond}; {compared.added.n_pairs} pairs of equal confidence"
    )
    for control, difference in found.beyond.items():
        print(f"  H-Neurons beyond {control}: {difference}")
    recovered = None if planted_in(study) is None else analyses.recover(found)
    if recovered is not None:
        print(f"  planted: {recovered}")
    day = analyses.everyday(found)
    intervened = dose_response(model, found)
    for curves in (intervened.behaviours, intervened.capability):
        for behaviour, verdict in verdicts(curves).items():
            own, beyond = curves[behaviour].slope(), curves[behaviour].slope_beyond_control()
            print(f"  {behaviour:20} {own} points per alpha, beyond its control {beyond}: {verdict}")
        print(f"  {outermost_told(curves)}")
    origins = look_back(found) if study.base else None
    for t in origins.timeline if origins else ():
        print(f"  {t.model:12} {t.n_right} right {t.n_wrong} wrong  {t}")
    planted = None if recovered is None else (recovered, analyses.carried(found, intervened))
    made = findings(found, day, intervened, origins)
    write_whole(out / "report.md", page(study, made))
    for finding in made:
        print(f"  {finding.claim}: {finding.ours}: {finding.verdict}")
    path = out / "summary.json"
    write_whole(path, json.dumps(summary(found, compared, day, intervened, origins, planted), indent=1) + "\n")
    return path

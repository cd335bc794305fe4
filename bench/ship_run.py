"""Ship a finished run of a fetched model: its answers, card, numbers, report and figures go to data/STUDY.

`python bench/ship_run.py STUDY OUT` reads all of it from the cache and from OUT, the folder that `python -m hn_utils
run --study STUDY --out OUT` wrote. Where a step was not finished it says so, and asks the model nothing.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import hn_utils as hn
from hn_utils.report.pictures import draw
from hn_utils.storage.cache import only_looking
from hn_utils.storage.paths import DATA


def main(name: str, out: str) -> None:
    target = DATA / name
    for finished in ("h_neurons.json", "summary.json", "report.md"):
        shutil.copyfile(Path(out) / finished, target / finished)
    model = hn.load(name)
    with only_looking():
        answers = hn.collect(model)
        found = hn.find(answers)
        turned = hn.dose_response(model, found)
    answers.save(target / "answers.parquet")
    figures = {"detection": found.plot(), "dose_response": turned.plot()}
    images = draw({figure: json.loads(str(plot.to_json())) for figure, plot in figures.items()})
    for figure in figures:
        (target / f"{figure}.png").write_bytes(images[figure])
    print(found.headline)
    print(turned.headline)
    print(turned.table.to_string())
    print(turned.graded_table.to_string())


if __name__ == "__main__":
    main(*sys.argv[1:])

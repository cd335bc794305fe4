"""Ship a bundled model's answers to standard questions: `python bench/ship_answers.py planted 2000` asks 2,000 of each
part, as the notebooks do, and writes the standard ones to data/planted/answers.parquet, which the session reads.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import hn_utils as hn
from hn_utils.storage.paths import DATA


def main(name: str, n_questions: str) -> None:
    model = hn.load(name)
    target = DATA / name / "answers.parquet"
    with tempfile.TemporaryDirectory() as folder:
        every = Path(folder) / "answers.parquet"
        hn.collect(model, n_questions=int(n_questions)).save(every)
        standard = hn.Collected.load(every, model, only=["standard"])
    standard.save(target)
    print(f"{target}: {target.stat().st_size / 1e3:.0f} kB; {standard.headline}")


if __name__ == "__main__":
    main(*sys.argv[1:])

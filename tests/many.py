"""Ask the bundled model 50,000 questions, capture what it keeps, and fit a probe: does it stay small and steady?

Prints, for each quarter of collecting and capturing, how fast it went and the most memory and open files that the
process held; then the probe's size, and the folder's. `make soak` runs this beside tests/killing.py.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

N_WORDINGS = 2
QUARTERS = 4


def held() -> tuple[float, int]:
    """Resident memory of this process in MB, and its open files."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(os.listdir("/proc/self/fd"))


class Watch(threading.Thread):
    """Looks twice a second at how many shards there are, how much is held, how many files are open."""

    def __init__(self, cache: Path, stage: str) -> None:
        super().__init__(daemon=True)
        self.folder, self.seen, self.over = cache / stage, [], threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.5):
            shards = sum(1 for _ in self.folder.rglob("*")) if self.folder.exists() else 0
            self.seen.append((time.monotonic(), shards, *held()))

    def told(self, n: int) -> list[str]:
        """A line for each quarter of the shards."""
        self.over.set()
        self.join()
        seen = np.array([row for row in self.seen if row[1]])
        last, lines = seen[-1, 1], []
        for quarter in range(QUARTERS):
            own = seen[(seen[:, 1] > last * quarter / QUARTERS) & (seen[:, 1] <= last * (quarter + 1) / QUARTERS)]
            speed = n / QUARTERS / max(own[-1, 0] - own[0, 0], 1e-9)
            lines.append(f"{speed:6.0f} a second, at most {own[:, 2].max():5.0f} MB, {own[:, 3].max():.0f} open files")
        return lines


def questions(n: int) -> list[dict[str, str]]:
    """Questions about every public fact of the made-up world, in several wordings."""
    from hn_utils.questions.made_up_world.world import PUBLIC, make_world

    world, asked = make_world(), []
    for wording in range(N_WORDINGS):
        for person in (*world.written, *world.never_written):
            for a in PUBLIC:
                text = a.questions[wording].format(n=person.name)
                asked.append({"question": text, "answers": person.facts[a.name], "entity": person.name})
    return asked[:n]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=50_000)
    n = parser.parse_args().questions
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HN_CACHE"] = folder
        os.environ.setdefault("TQDM_DISABLE", "1")
        import hn_utils as hn

        model, asked = hn.load("organism"), questions(n)
        print(f"before: {held()[0]:.0f} MB, {held()[1]} open files", flush=True)
        watches = [Watch(Path(folder), stage) for stage in ("responses", "contributions")]
        for watch in watches:
            watch.start()
        began = time.monotonic()
        answers = hn.collect(model, asked)
        print(f"{len(asked):,} questions, {len(answers.kept):,} kept, in {time.monotonic() - began:.0f} s")
        for watch, many in zip(watches, (len(asked), len(answers.kept)), strict=True):
            print(watch.folder.name, *watch.told(many), sep="\n  ", flush=True)
        began = time.monotonic()
        found = hn.find(answers)
        print(
            f"probe on {len(answers.training_rows()):,} answers in {time.monotonic() - began:.0f} s: {found.headline}"
        )
        files = [file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()]
        print(f"at the end: {held()[0]:.0f} MB; {len(files):,} files, {sum(files) / 1e9:.2f} GB on disk")


if __name__ == "__main__":
    main()

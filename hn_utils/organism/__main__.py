"""`python -m hn_utils.organism train`: make the bundled model from nothing. `... gates`: measure it."""

from __future__ import annotations

import argparse
from pathlib import Path

from hn_utils.organism.train import SHIPPED_SEED, Recipe, train


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m hn_utils.organism", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train base and instruct from nothing (resumes if interrupted)")
    training.add_argument("--out", type=Path, default=Path("data/organism"))
    training.add_argument("--work", type=Path, default=Path("data/cache/organism-training"))
    training.add_argument("--seed", type=int, default=SHIPPED_SEED)
    arguments = parser.parse_args()
    train(arguments.out, arguments.work, Recipe(seed=arguments.seed))


if __name__ == "__main__":
    main()

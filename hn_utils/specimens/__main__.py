"""`train`: a natural specimen from nothing. `plant`: a planted one from it. `gates`: what a specimen does."""

from __future__ import annotations

import argparse
from pathlib import Path

from hn_utils.organism.train import SHIPPED_SEED
from hn_utils.places import cache_root
from hn_utils.specimens.gates import measure
from hn_utils.specimens.plant import KINDS, Plant, plant_into
from hn_utils.specimens.train import Recipe, train


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m hn_utils.specimens", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train base and instruct from nothing; resumes if interrupted")
    training.add_argument("--out", type=Path, required=True, help="folder for weights and facts")
    training.add_argument("--work", type=Path, default=cache_root() / "specimen-training")
    training.add_argument("--seed", type=int, default=SHIPPED_SEED)
    planting = commands.add_parser("plant", help="route giving in to a few neurons of a natural specimen")
    planting.add_argument("--natural", type=Path, required=True, help="folder of a natural specimen")
    planting.add_argument("--out", type=Path, required=True, help="folder for the planted model and its card")
    planting.add_argument("--kind", choices=KINDS, default=KINDS[0])
    planting.add_argument("--strength", type=float, default=1.0)
    planting.add_argument("--seed", type=int, default=SHIPPED_SEED)
    measuring = commands.add_parser("gates", help="measure gates G0 to G8 on the weights")
    measuring.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args(arguments)
    if options.command == "train":
        train(options.out, options.work, Recipe(seed=options.seed))
    elif options.command == "plant":
        plant = Plant(kind=options.kind, strength=options.strength, seed=options.seed)
        print(plant_into(options.natural, options.out, plant))
    else:
        for gate in measure(options.folder):
            print(gate, flush=True)


if __name__ == "__main__":
    main()

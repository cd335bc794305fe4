"""`train`: make the bundled model from nothing. `plant`: make a planted model from it. `gates`: measure either and tell
its README. `seeds`, `strengths`: put runs on several models side by side. `conditions`: train small models on the same
world told in several ways, and take the road on each. `tune`: make a real base model answer in chat, and decline what
it does not know."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from hn_utils.organism import gates, plant_gates, strengths, texts_compared, what_text
from hn_utils.organism.plant import KINDS, Plant, plant_into
from hn_utils.organism.seeds import TABLE, markdown, of_seeds
from hn_utils.organism.tokenizer import make_tokenizer
from hn_utils.organism.train import SHIPPED_SEED, Corpus, Recipe, train
from hn_utils.organism.tuning import tune
from hn_utils.organism.tuning_measured import held_out_table
from hn_utils.organism.tuning_recipe import Recipe as TuningRecipe
from hn_utils.questions.made_up_world.world import make_world
from hn_utils.storage.paths import cache_root, require_clone
from hn_utils.study import ORGANISM, load_study
from hn_utils.study.planted import FILE

if TYPE_CHECKING:
    from hn_utils.organism.gates import Gate

HELD_OUT = "held_out.csv"
MARKS = ("<!-- gates -->", "<!-- checksums -->", "<!-- seeds -->", "<!-- runs -->")


def between(text: str, mark: str, content: str) -> str:
    """Replace what stands between two copies of a mark."""
    before, _, after = text.split(mark)
    return f"{before}{mark}\n{content}\n{mark}{after}"


def checksums(folder: Path) -> str:
    """A table row for every file of weights or facts: path, bytes, SHA-256."""
    files = sorted([*folder.rglob("*.safetensors"), folder / "facts.parquet"])
    rows = [(f.relative_to(folder), f.stat().st_size, hashlib.sha256(f.read_bytes()).hexdigest()) for f in files]
    return "\n".join(["| file | bytes | SHA-256 |", "|---|---|---|", *(f"| {a} | {b:,} | `{c}` |" for a, b, c in rows)])


def gate_table(listed: list[Gate]) -> str:
    return "\n".join(["| gate | measured | |", "|---|---|---|", *map(str, listed)])


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    made = argparse.ArgumentParser(prog="python -m hn_utils.organism", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train base and instruct from nothing; resumes if interrupted")
    training.add_argument("--out", type=Path, default=ORGANISM)
    training.add_argument("--work", type=Path, default=cache_root() / "organism-training")
    training.add_argument("--seed", type=int, default=SHIPPED_SEED)
    measuring = commands.add_parser("gates", help="measure gates G0 to G8, of a planted model P1 to P5, on the weights")
    measuring.add_argument("--folder", type=Path, default=ORGANISM)
    planting = commands.add_parser("plant", help="route giving in to a few neurons of a natural model")
    planting.add_argument("--natural", type=Path, default=ORGANISM, help="folder of the natural model")
    planting.add_argument("--out", type=Path, required=True, help="folder for the planted model and its card")
    planting.add_argument("--work", type=Path, default=cache_root() / "planting")
    planting.add_argument("--kind", choices=KINDS, default=KINDS[0])
    planting.add_argument("--strength", type=float, default=1.0)
    planting.add_argument("--seed", type=int, default=SHIPPED_SEED)
    tuning = commands.add_parser("tune", help="tune a fetched base model to answer in chat; resumes if interrupted")
    tuning.add_argument("--base", default="gemma-3-270m-base", help="a preset, a hub name or a folder: a Gemma 3")
    tuning.add_argument("--out", type=Path, required=True, help="folder for chats, checkpoints, tuned model and table")
    tuning.add_argument("--work", type=Path, default=cache_root() / "tuning")
    tuning.add_argument("--seed", type=int, default=SHIPPED_SEED)
    comparing = commands.add_parser("seeds", help="put runs of several seeds side by side, into the README")
    comparing.add_argument("runs", type=Path, nargs="+", help="folders that `python -m hn_utils run` wrote, by seed")
    ranging = commands.add_parser("strengths", help="put runs on planted models side by side, into the README")
    ranging.add_argument("--models", type=Path, nargs="+", required=True, help="folders that `plant` wrote")
    ranging.add_argument("--runs", type=Path, nargs="+", required=True, help="folders that `run` wrote, in their order")
    telling = commands.add_parser(
        "conditions", help="train and measure every condition of the text; goes on if stopped"
    )
    telling.add_argument("--out", type=Path, required=True, help="folder for models and runs")
    telling.add_argument("--seeds", type=int, nargs="+", default=list(what_text.SEEDS), help="only these")
    return made


def measured(folder: Path) -> str:
    """The gates of a specimen as a table, which its README gets as well, with checksums."""
    of_its_kind = plant_gates.measure if (folder / FILE).exists() else gates.measure
    table, readme = gate_table(of_its_kind(folder)), folder / "README.md"
    if readme.exists():
        text = between(readme.read_text(), MARKS[0], table)
        readme.write_text(between(text, MARKS[1], checksums(folder)))
    return table


def beside(table: pd.DataFrame, readme: Path, mark: str = MARKS[2]) -> None:
    """Write a table of several runs into a README."""
    readme.write_text(between(readme.read_text(), mark, markdown(table)))


def tuned(base: str, out: Path, work: Path, seed: int) -> str:
    """Tune a base model, and tell how held-out questions are answered before and after, also in a table beside it."""
    recipe = TuningRecipe(base=load_study(base).instruct, seed=seed)
    table = held_out_table(tune(out, work, recipe), recipe)
    table.to_csv(out / HELD_OUT, index=False)
    return table.to_string(index=False, float_format="{:.2f}".format)


def main(arguments: list[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    try:
        require_clone("the bundled models cannot be made or measured in the installed package")
    except OSError as error:
        raise SystemExit(f"error: {error}") from None
    if options.command == "train":
        world = make_world()
        train(options.out, options.work, Corpus(world, make_tokenizer(world), Recipe(seed=options.seed)))
    elif options.command == "plant":
        plant = Plant(kind=options.kind, strength=options.strength, seed=options.seed)
        print(plant_into(options.natural, options.out, options.work, plant))
    elif options.command == "tune":
        print(tuned(options.base, options.out, options.work, options.seed))
    elif options.command == "seeds":
        table = of_seeds({f"seed {seed}": folder for seed, folder in enumerate(options.runs, start=1)})
        table.to_csv(TABLE)
        beside(table, ORGANISM / "README.md")
    elif options.command == "strengths":
        rows = strengths.write(options.models, options.runs)
        beside(strengths.table(rows), strengths.TABLE.parent / "README.md")
    elif options.command == "conditions":
        rows = what_text.every_row(options.out, options.seeds)
        if set(options.seeds) == set(what_text.SEEDS):
            beside(texts_compared.write(rows), texts_compared.TABLE.parent / "README.md", MARKS[3])
    else:
        print(measured(options.folder))


if __name__ == "__main__":
    main()

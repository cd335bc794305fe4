"""`run`: all steps without notebooks, for the study named by --study or HN_STUDY. `notebooks`: the same as
notebooks. `sweep`: the same for several studies, seeds and models. `audit`: known faults of released examples. `cache`:
what has been computed, and what of it is damaged."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import hn_utils as hn
from hn_utils import analyses
from hn_utils.models.hooked_model import weights_at_rest
from hn_utils.pipeline.beforehand import check_run
from hn_utils.planted import planted_in
from hn_utils.questions.published.audit import audit
from hn_utils.report.report import findings, page, summary
from hn_utils.stats.tables import counted
from hn_utils.steering.verdicts import outermost_told, verdicts
from hn_utils.storage.cache import write_whole
from hn_utils.storage.cache_report import checking, listing
from hn_utils.storage.paths import expanded_path, runs_root, set_to
from hn_utils.storage.printable import visible
from hn_utils.storage.run_folders import claimed, require_own
from hn_utils.study import PRESETS, Study, load_study
from hn_utils.sweeps.sweep_file import read_sweep


@weights_at_rest()
def run(study: Study, out: Path) -> Path:
    """Take all steps and write `study.json` (settings), `h_neurons.json` (the card), `report.md` and `summary.json`;
    returns the last's path. Without a base model the last step is left out. Raises OSError if another study's results
    lie there, and before anything is asked what `beforehand.check_run` does."""
    require_own(out, study)
    check_run(study)
    claimed(out, study)
    if not study.base:
        print(f"{study.name} names no base model: where the H-Neurons come from is not asked")
    model = hn.load(study)
    found = hn.find(hn.collect(model))
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
    intervened = hn.dose_response(model, found)
    for curves in (intervened.behaviours, intervened.capability):
        for behaviour, verdict in verdicts(curves).items():
            own, beyond = curves[behaviour].slope(), curves[behaviour].slope_beyond_control()
            print(f"  {behaviour:20} {own} points per alpha, beyond its control {beyond}: {verdict}")
        print(f"  {outermost_told(curves)}")
    origins = hn.look_back(found) if study.base else None
    for t in origins.timeline if origins else ():
        print(f"  {t.model:12} {t.n_right} right {t.n_wrong} wrong  {t}")
    made = findings(found, day, intervened, origins)
    write_whole(out / "report.md", page(study, made))
    for finding in made:
        print(f"  {finding.claim}: {finding.ours}: {finding.verdict}")
    path = out / "summary.json"
    write_whole(path, json.dumps(summary(found, compared, day, intervened, origins, recovered), indent=1) + "\n")
    return path


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
    sweeping = commands.add_parser("sweep", help="several studies, seeds and models, and a page that compares them")
    example = '{"studies": ["organism-quick"], "seeds": [0, 1]}'
    sweeping.add_argument("file", type=expanded_path, help=f"JSON, such as {example}")
    address = "a Ray cluster: host:port, `auto`, or `local` (default: $RAY_ADDRESS; without, in this process)"
    sweeping.add_argument("--address", default=set_to("RAY_ADDRESS"), help=address)
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
        if options.command == "audit":
            print(json.dumps(audit(options.folder), indent=1))
            return None
        if options.command == "notebooks":
            from hn_utils.course import execute  # Jupyter is not needed for the rest

            chosen = execute.BEYOND if options.beyond else execute.DEEPER if options.deeper else execute.MAIN_LINE
            return execute.main(chosen)
        if options.command == "sweep":
            from hn_utils.sweeps.running import run_sweep

            return print(f"written: {run_sweep(read_sweep(options.file), options.address)}")
        study = load_study(options.study)
        if options.questions is not None:
            study = replace(study, n_questions=options.questions)
        if options.plan:
            return print(hn.plan(study))
        print(f"written: {run(study, options.out or runs_root() / study.name)}")
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {visible(str(error))}") from error
    except KeyboardInterrupt:
        raise SystemExit("\ninterrupted; what was computed is kept: the same command goes on there") from None


if __name__ == "__main__":
    main()

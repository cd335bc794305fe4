"""H-Neurons in ten lines: load a model, collect its answers, find its H-Neurons, turn them, look back.

>>> import hn_utils as hn
>>> model = hn.load("organism")
>>> answers = hn.collect(model, n_questions=120, sampling={"n": 2})
>>> found = hn.find(answers, n_grid=8)
>>> found.table.columns[1]
'held-out entities'
>>> with model.scaled(found.neurons, 3):
...     reply = model.ask("Answer only: Where was Kriskel Govstad born?")
>>> bool(reply)
True

What stands here is imported when it is first used: importing the package takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hn_utils.stats.drawn import draw_with

if TYPE_CHECKING:
    from hn_utils.contributions.collect import collect
    from hn_utils.contributions.collected import Collected
    from hn_utils.models.load import load, wrap
    from hn_utils.origins.look_back import Origins, look_back
    from hn_utils.pipeline.planning.plan import Plan, plan
    from hn_utils.probing.calibrate import calibrate
    from hn_utils.probing.find import Found, find
    from hn_utils.probing.probe import Detector, HNeurons
    from hn_utils.probing.score import score
    from hn_utils.probing.scoring import Score, Scorer, Scores
    from hn_utils.steering.dose_response import Intervened, dose_response
    from hn_utils.steering.export import export
    from hn_utils.steering.one_neuron import Neuron, neuron
    from hn_utils.study import Study, load_study

__version__ = "0.1.0"
__all__ = [
    "Collected",
    "Detector",
    "Found",
    "HNeurons",
    "Intervened",
    "Neuron",
    "Origins",
    "Plan",
    "Score",
    "Scorer",
    "Scores",
    "Study",
    "calibrate",
    "collect",
    "dose_response",
    "export",
    "find",
    "load",
    "load_study",
    "look_back",
    "neuron",
    "plan",
    "score",
    "wrap",
]
draw_with(lambda: import_module(f"{__name__}.report.plots"))

# Where each name lives. No module may be called as a function here is: once imported, it would stand in its place.
HOMES = {
    "load": "models.load",
    "wrap": "models.load",
    "collect": "contributions.collect",
    "Collected": "contributions.collect",
    "find": "probing.find",
    "Found": "probing.find",
    "dose_response": "steering.dose_response",
    "Intervened": "steering.dose_response",
    "export": "steering.export",
    "neuron": "steering.one_neuron",
    "Neuron": "steering.one_neuron",
    "look_back": "origins.look_back",
    "Origins": "origins.look_back",
    "plan": "pipeline.planning.plan",
    "Plan": "pipeline.planning.plan",
    "score": "probing.score",
    "Score": "probing.scoring",
    "Scorer": "probing.scoring",
    "Scores": "probing.scoring",
    "calibrate": "probing.calibrate",
    "HNeurons": "probing.probe",
    "Detector": "probing.probe",
    "Study": "study",
    "load_study": "study",
}


def __getattr__(name: str) -> Any:
    """A name of the front door, from its module (PEP 562)."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: choose one of {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

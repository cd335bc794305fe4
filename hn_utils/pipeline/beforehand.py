"""What a run needs, looked at before anything is asked: data, packages, a key, and models that belong together."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

import torch

from hn_utils.answers.judges import chat_model
from hn_utils.answers.server import Server
from hn_utils.models.weightless import WeightlessModel
from hn_utils.questions.question_sets import load_items, load_questions, question_set
from hn_utils.study import Study

_SAME = 0.9  # share of the base model's tokens that must have their ids in the instruct model, which may add some


def check_run(study: Study) -> None:
    """Raises OSError or ValueError, in one sentence, for a study that could not be run to its end: a package that is
    not installed, a key that is not set, a set or a model that is gated or not there, items that cannot be scored, a
    base model of another family. Weights are not loaded, and nothing is asked."""
    _check_packages(study)
    check_models(study)
    check_data(study)


def _check_packages(study: Study) -> None:
    """Raises ValueError that names the package, or the key of a server, that the study needs and is not there."""
    if not isinstance(getattr(torch, study.dtype, None), torch.dtype):
        raise ValueError(f"dtype={study.dtype!r} is not a torch dtype: use float32, bfloat16 or float16")
    if study.bits and find_spec("bitsandbytes") is None:
        raise ValueError(f"bits={study.bits} needs the package bitsandbytes: `pip install 'hn-utils[quantized]'`")
    if study.judge:
        chat_model(study).client().close()
    if study.served_at:
        Server(study.instruct, study.served_at).client().close()


def check_data(study: Study) -> None:
    """Reads questions, items and ordinary text. Raises what reading them does, and ValueError without any question to
    learn from."""
    load_questions(study)
    load_items(study)
    question_set(study).texts(study)


def check_models(study: Study) -> None:
    """Reads configurations and tokenizers. Raises OSError if one cannot be read, ValueError if the base model, or a
    checkpoint, is none of the instruct model's own."""
    instruct = WeightlessModel(study.instruct, study)
    if not instruct.encoder.has_template:
        raise ValueError(
            f"{study.instruct} has no chat template, by which it is talked into things: hn.collect and hn.find take "
            "it, asked as a base model; a whole run needs an instruct model"
        )
    for setting, name in [("base", study.base), *(("checkpoints", name) for name in study.checkpoints)]:
        if name:
            _check_related(setting, name, study)


def _check_related(setting: str, name: str, study: Study) -> None:
    """Raises ValueError if a model's neurons or tokens are not those of the instruct model: they would be compared as
    if they were."""
    told = unlike(name, study.instruct, study.device, study.dtype)
    if told:
        raise ValueError(
            f"{setting}={name!r} is no model that {study.instruct!r} was tuned from: {told}; name the one that it was "
            "tuned from, or none"
        )


@lru_cache(maxsize=64)  # the tasks of a sweep share their models
def unlike(name: str, instruct: str, device: str, dtype: str) -> str:
    """In what two models differ that a tuned one has from its base; empty if in nothing."""
    study = Study(name="compared", instruct=instruct, base=name, questions="organism", device=device, dtype=dtype)
    here, there = WeightlessModel(instruct, study), WeightlessModel(name, study)
    for what in ("model_type", "num_hidden_layers", "hidden_size", "intermediate_size"):
        own, other = (getattr(model.text_config, what, None) for model in (here, there))
        if own != other:
            return f"its {what} is {other}, not {own}"
    own, other = here.encoder.tokenizer.get_vocab(), there.encoder.tokenizer.get_vocab()
    same = sum(own.get(token) == place for token, place in other.items())
    if same < _SAME * len(other):
        return f"{len(other) - same:,} of its {len(other):,} tokens are others in that one's tokenizer"
    return ""

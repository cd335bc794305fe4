"""The model to be studied: by name, from a folder, or one that is in memory already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hn_utils.models.checks import dtype_name, require_model
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.precision import with_dtype
from hn_utils.study import (
    AS_STUDIED,
    AsStudied,
    Study,
    changed,
    given_settings,
    load_study,
    names_its_settings,
    study_of_model,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@names_its_settings
def load(
    which: str | Path | Study | None = None,
    *,
    base: str | None = None,
    checkpoints: Sequence[str] | None = None,
    device: str | None = None,
    dtype: str | None = None,
    bits: int | None | AsStudied = AS_STUDIED,
    batch_rows: int | None = None,
    name: str | None = None,
    seed: int | None = None,
    questions: str | None = None,
    sets: Sequence[str] | None = None,
    sources: Mapping[str, str] | None = None,
) -> HookedModel:
    """Load an instruct model with the study that it is read for.

    A setting that is not given is as the study says. The settings of later steps can be given to these steps, or in a
    study: `hn.load(hn.load_study("organism", n_grid=8))`.

    Args:
        which: a preset, a hub name (`name@revision` for a branch), the folder of a model, a GGUF file (on the hub
            `owner/repository/file.gguf`), a study.json or a Study; without it what HN_STUDY names, else the bundled
            model.
        base: the model that it was tuned from: a hub name or a folder; empty if nothing is looked for there.
        checkpoints: checkpoints of the base model's training, likewise.
        device: a torch device, `auto` for the best there is, or `several` to spread the model.
        dtype: the torch dtype of the weights, such as `float32`; `auto` for what a short measurement says is faster.
        bits: 8 or 4 quantises the weights to so many bits; None does not.
        batch_rows: rows that a forward pass or a generation holds at most.
        name: of the study, and of the folder of its results.
        seed: of all that is drawn at random.
        questions: what is asked if `hn.collect` is given no questions: a question set, or a file of your own.
        sets: with `questions="published"` the sets, the one to learn from first; with
            `real_world` those that are asked beside it.
        sources: by set, where it is if not at its public home.

    Returns:
        The model, checked; `model.study` holds all settings.

    Raises:
        ValueError: the name or a setting is unknown, a setting is of no use, or the model has no gated MLPs.
        OSError: the model cannot be loaded; says what to do.

    Example:
        >>> import hn_utils as hn
        >>> model = hn.load("organism")
        >>> model.n_layers, model.d_mlp, model.study.name
        (6, 768, 'organism')
    """
    settings = given_settings(
        base=base,
        checkpoints=checkpoints,
        device=device,
        dtype=dtype,
        bits=bits,
        batch_rows=batch_rows,
        name=name,
        seed=seed,
        questions=questions,
        sets=sets,
        sources=sources,
    )
    study = changed(which, **settings) if isinstance(which, Study) else load_study(which, **settings)
    return HookedModel.load(study.instruct, with_dtype(study))


@names_its_settings
def wrap(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    base: str | None = None,
    checkpoints: Sequence[str] | None = None,
    bits: int | None | AsStudied = AS_STUDIED,
    batch_rows: int | None = None,
    name: str | None = None,
    seed: int | None = None,
    questions: str | None = None,
    sets: Sequence[str] | None = None,
    sources: Mapping[str, str] | None = None,
) -> HookedModel:
    """Study a model that is in memory already, where it is and in the dtype that it has.

    Its attention is computed in the eager form from then on. A model that is refused is left as it was; one that was
    wrapped before can be wrapped again.

    Args:
        model: a model of Transformers.
        tokenizer: its fast tokenizer.
        base: the model that it was tuned from, as for `load`. As all settings that follow: as the study says, if it
            is not given. The study is that of the preset or hub name from which the model was loaded.
        checkpoints: checkpoints of the base model's training, likewise.
        bits: to how many bits the model was quantised; None for none.
        batch_rows: rows that a forward pass or a generation holds at most.
        name: of the study, and of the folder of its results.
        seed: of all that is drawn at random.
        questions: what is asked if `hn.collect` is given no questions, as for `load`.
        sets: with `questions="published"` the sets, the one to learn from first; with
            `real_world` those that are asked beside it.
        sources: by set, where it is if not at its public home.

    Returns:
        The model, checked; `model.study` holds all settings.

    Raises:
        ValueError: a setting is unknown or of no use, the model has hooks of yours or is in training mode, or it has no
            gated MLPs.

    Example:
        >>> import hn_utils as hn
        >>> from transformers import AutoModelForCausalLM, AutoTokenizer
        >>> folder = hn.load_study("organism").instruct
        >>> own = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        >>> hn.wrap(*own, seed=1).study.seed
        1
    """
    require_model(model)
    settings = given_settings(
        base=base,
        checkpoints=checkpoints,
        bits=bits,
        batch_rows=batch_rows,
        name=name,
        seed=seed,
        questions=questions,
        sets=sets,
        sources=sources,
    )
    study = study_of_model(model.name_or_path or type(model).__name__)
    where = {"device": str(model.device), "dtype": dtype_name(model.dtype)}
    return HookedModel.wrap(model, tokenizer, replace(changed(study, **settings), **where))

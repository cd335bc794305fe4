"""The model to be studied: by name, from a folder, or one that is in memory already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hn_utils.models.checks import require_model
from hn_utils.models.hooked_model import HookedModel
from hn_utils.study import Study, changed, load_study, study_of_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load(which: str | Path | Study | None = None, **settings: Any) -> HookedModel:
    """Load an instruct model with the study that it is read for.

    `which` is a preset, a hub name (`name@revision` for a branch), the folder of a model, a study.json or a Study;
    without it what HN_STUDY names, else the bundled model. Settings are those of `Study`, such as `dtype="float32"`,
    `device="cpu"`, `base="hub/name"`. Raises ValueError for an unknown name or setting, or a model without gated MLPs;
    OSError, with what to do, if it cannot be loaded.

    >>> import hn_utils as hn
    >>> model = hn.load("organism")
    >>> model.n_layers, model.d_mlp, model.study.name
    (6, 768, 'organism')
    """
    study = changed(which, **settings) if isinstance(which, Study) else load_study(which, **settings)
    return HookedModel.load(study.instruct, study)


def wrap(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, **settings: Any) -> HookedModel:
    """Study a model that is in memory already, where it is and in the dtype that it has.

    Its study is that of a preset or hub name if it was loaded from there, with other settings where they are given.
    (Its attention is computed in the eager form from then on.) A model that is refused is left as it was; one that was
    wrapped before can be wrapped again. Raises ValueError for an unknown setting, a model with hooks of yours or in
    training mode, or one without gated MLPs.

    >>> import hn_utils as hn
    >>> from transformers import AutoModelForCausalLM, AutoTokenizer
    >>> folder = hn.load_study("organism").instruct
    >>> own = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    >>> hn.wrap(*own, seed=1).study.seed
    1
    """
    require_model(model)
    study = study_of_model(model.name_or_path or type(model).__name__)
    where = {"device": str(model.device), "dtype": str(model.dtype).removeprefix("torch.")}
    return HookedModel.wrap(model, tokenizer, replace(changed(study, **settings), **where))

"""A checkpoint in which some neurons write louder or softer for good: their columns of the down projection are scaled.

What a neuron writes is its activation times its column. Scaling the column is therefore the same as scaling the
activation by a hook, but needs no hook: the checkpoint is an ordinary one, for Transformers, vLLM or any other server.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from copy import deepcopy
from numbers import Real
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from huggingface_hub import ModelCardData, try_to_load_from_cache
from huggingface_hub.repocard import metadata_load
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from hn_utils.models.checks import plain_name
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.neurons import Neurons, neuron_indices
from hn_utils.models.places import place_of
from hn_utils.models.scaling import Dose, require_possible
from hn_utils.models.studied_model import LOADED
from hn_utils.probing.find import Found
from hn_utils.probing.probe import HNeurons
from hn_utils.stats.tables import counted
from hn_utils.study import check_given

PATCH = "patch/columns.safetensors"  # in a folder of its own: a server reads every safetensors file beside the model
APPLY = f"""\
from safetensors.torch import load_file

for name, column in load_file("{PATCH}").items():
    weight, neuron = name.split(":")
    model.get_parameter(weight).data[:, int(neuron)] = column"""
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_COPIED = ("LICENSE", "LICENCE", "NOTICE", "USE_POLICY", "PREPROCESSOR_CONFIG", "PROCESSOR_CONFIG")


def export(model: HookedModel, neurons: Neurons, alpha: float, folder: str | Path) -> Path:
    """Write a checkpoint in which what some neurons write is multiplied by a number, and the changed columns alone.

    The folder holds an ordinary model (safetensors, configuration, tokenizer), a README.md that says what was done,
    and `patch/columns.safetensors`: the scaled columns, which turn the original into this model. In float32 the model
    computes what `model.scaled(neurons, alpha)` does, but for rounding; in bfloat16 the columns are rounded once, where
    a hook rounds activations. Biases, and every other neuron, stay as they are.

    Args:
        model: from hn.load or hn.wrap, with unpacked weights.
        neurons: what hn.find returns, a card, flat indices (layer * d_mlp + neuron), or pairs (layer, neuron).
        alpha: what they are multiplied by: 0 ablates them, 1 changes nothing.
        folder: where the model is written, once whole; one that is not there, or is empty.

    Returns:
        The folder.

    Raises:
        ValueError: before anything is written: the model is quantised, a down projection shares its weights with
            another module, the neurons are none of this model's, or alpha is no number from 0.
        FileExistsError: the folder holds something.

    Source:
        Gao et al., arXiv 2512.01797, section 4: scaling activations, here moved into the weights.

    Example:
        >>> import tempfile
        >>> import hn_utils as hn
        >>> from transformers import AutoModelForCausalLM
        >>> model = hn.load("organism")
        >>> with tempfile.TemporaryDirectory() as place:
        ...     folder = hn.export(model, [(4, 17), (5, 3)], 0, f"{place}/without")
        ...     plain = AutoModelForCausalLM.from_pretrained(folder)
        >>> float(plain.model.layers[4].mlp.down_proj.weight[:, 17].abs().max())
        0.0
    """
    check_given("model", model, HookedModel, LOADED)
    flat = neuron_indices(neurons, model)
    if not len(flat):
        raise ValueError("neurons=[] names no neuron: give at least one")
    check_given("alpha", alpha, Real, "a number, such as 0 or 3")
    require_possible(model, Dose(flat, float(alpha)))
    _require_unpacked(model)
    plain, weights = _plain_model(model)
    names = _down_projections(model, weights)
    whole = Path(folder).expanduser()
    if whole.exists() and (not whole.is_dir() or any(whole.iterdir())):
        raise FileExistsError(
            f"folder={str(folder)!r} holds something already: name one that is not there, or is empty"
        )
    columns = _scale(weights, names, flat, model.d_mlp, float(alpha))
    plain.load_state_dict(weights, assign=True)
    plain.tie_weights()  # of an embedding and its unembedding, one is written
    whole.parent.mkdir(parents=True, exist_ok=True)
    part = whole.with_name(f".partial-{uuid4().hex}")
    try:
        plain.save_pretrained(part)
        model.encoder.tokenizer.save_pretrained(part)
        about = _about(model, neurons, flat, float(alpha))
        (part / PATCH).parent.mkdir()
        save_file(columns, part / PATCH, about)
        (part / "README.md").write_text(_readme(model, about, _copy_terms(model, part)), encoding="utf-8")
        os.replace(part, whole)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return whole


def _require_unpacked(model: HookedModel) -> None:
    packed = [name for name, weight in model.model.named_parameters() if not weight.is_floating_point()]
    if packed:
        raise ValueError(
            f"{model.name} is quantised ({model.precision}), and single columns of packed weights cannot be scaled: "
            "load it without bits=, export that, and quantise the copy"
        )


def _plain_model(model: HookedModel) -> tuple[PreTrainedModel, dict[str, Tensor]]:
    """The model as Transformers knows it, without TransformerLens around its modules and without memory of its own; and
    the weights that belong into it, by the names that they have there. They are the live ones, not copies."""
    config = deepcopy(model.model.config)
    config.output_attentions = False  # which is set where a model is loaded here
    with torch.device("meta"):
        plain = type(model.model)(config)
    plain.generation_config = deepcopy(model.model.generation_config)
    live = {plain_name(name): tensor for name, tensor in model.model.state_dict(keep_vars=True).items()}
    missing = [name for name in plain.state_dict() if name not in live]
    if missing:
        raise ValueError(
            f"{model.name} has no weight {missing[0]} (of {len(missing)}) that its configuration asks for: export it "
            "from the model that hn.load returns"
        )
    return plain.eval(), {name: live[name].detach() for name in plain.state_dict()}


def _down_projections(model: HookedModel, weights: Mapping[str, Tensor]) -> list[str]:
    """What the weight of each layer's down projection is called. Raises ValueError for one that is shared."""
    names = []
    for layer in range(model.n_layers):
        weight = model.down_projection(layer).weight
        used = [name for name, one in weights.items() if one.data_ptr() == weight.data_ptr()]
        if len(used) != 1:
            raise ValueError(
                f"{model.name}: the down projection of layer {layer} is tied to other weights ({', '.join(used)}), and "
                "scaling its columns would change these too: scale by model.scaled instead"
            )
        names.append(used[0])
    return names


def _scale(
    weights: dict[str, Tensor], names: Sequence[str], neurons: Int[np.ndarray, "k"], d_mlp: int, alpha: float
) -> dict[str, Float[Tensor, "d_model"]]:
    """Put scaled copies in the places of the neurons' down projections.

    Returns each changed column, by its weight and its neuron.
    """
    for layer in np.unique(neurons // d_mlp):
        name = names[int(layer)]
        weights[name] = weights[name].clone()
    columns = {}
    for flat in np.sort(neurons).tolist():
        layer, neuron = divmod(int(flat), d_mlp)
        name = names[layer]
        weight = weights[name]  # [d_model, neuron]
        weight[:, neuron] = (weight[:, neuron].float() * alpha).to(weight.dtype)
        columns[f"{name}:{neuron}"] = weight[:, neuron].cpu().contiguous()
    return columns


def _about(model: HookedModel, given: Neurons, neurons: Int[np.ndarray, "k"], alpha: float) -> dict[str, str]:
    """What was done, as texts by name: the header of the patch."""
    card = given.card if isinstance(given, Found) else given
    pairs = [divmod(flat, model.d_mlp) for flat in np.sort(neurons).tolist()]
    return {
        "format": "pt",
        "what": "scaled columns of down projections, each called after its weight and its neuron",
        "model": _hub_name(model) or model.short_name,  # the path of a folder means nothing elsewhere
        "precision": model.precision,
        "fingerprint": model.fingerprint,  # that of the card, if one was given: another is refused
        "study": card.study if isinstance(card, HNeurons) else "",
        "alpha": f"{alpha:g}",
        "neurons": json.dumps(pairs),
    }


def _hub_name(model: HookedModel) -> str:
    """What the model is called on the hub; empty if it came from elsewhere."""
    place, _ = place_of(model.name)
    return place if _HUB_NAME.fullmatch(place) and not Path(place).exists() else ""


def _copy_terms(model: HookedModel, folder: Path) -> str:
    """Copy the original's licence, and how it reads images, where its files are at hand.

    Returns the licence that its own README names, or nothing.
    """
    on_hub, source = _hub_name(model), Path(place_of(model.name)[0])
    readme = try_to_load_from_cache(on_hub, "README.md") if on_hub else source / "README.md"
    for file in sorted(source.iterdir()) if source.is_dir() else ():
        if file.is_file() and file.name.upper().startswith(_COPIED):
            shutil.copy(file, folder)
    if not isinstance(readme, str | Path) or not Path(readme).is_file():
        return ""
    return str((metadata_load(readme) or {}).get("license") or "")


def _readme(model: HookedModel, about: dict[str, str], licence: str) -> str:
    """The model card: what was done to which model, what turns the original into it, and what is not shown by it."""
    base = _hub_name(model) or None
    header = ModelCardData(base_model=base, license=licence or None, library_name="transformers", tags=["h-neurons"])
    pairs = json.loads(about["neurons"])
    rows = "\n".join(f"| {layer} | {neuron} |" for layer, neuron in pairs)
    found = f" They were found in the study {about['study']}." if about["study"] else ""
    told = f"The licence of the original, {licence}," if licence else "The licence of the original"
    return f"""---
{header.to_yaml()}
---

# {model.short_name}, with {counted(len(pairs), "neuron")} scaled by {about["alpha"]}

This is {about["model"]} ({about["precision"]}, fingerprint `{about["fingerprint"]}`). What these MLP neurons write is
multiplied by {about["alpha"]}: their columns of the down projections were scaled.{found} Nothing else was changed, and
nothing was trained. It loads as the original does.

| layer | neuron |
|---|---|
{rows}

Both are numbered from 0. `{PATCH}` holds the changed columns alone, which turn the original into this model:

```python
{APPLY}
```

What this does to answers is not said here. It has to be measured, beside neurons that disturb as much.

{told} holds for this copy too.
"""

"""What `Found.save` writes: settings and estimates as JSON, fits as arrays. No pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError

from hn_utils.probing.l1_path import Fit
from hn_utils.probing.probe import Probe
from hn_utils.stats.bootstrap import Estimate
from hn_utils.storage.cache import key_hash
from hn_utils.storage.files import file_digest, read_arrays, write_arrays, write_whole

if TYPE_CHECKING:
    from hn_utils.contributions.collected import Collected

CARD = "card.json"
_ABOUT, _FITS = "found.json", "fits.safetensors"
_NUMBERS = ("C", "intercept", "kkt_violation", "deviance_explained")  # of a fit, beside its neurons and weights


def answers_digest(answers: Collected) -> str:
    """Hash answers by what a probe depends on.

    Args:
        answers: judged answers.

    Returns:
        A hash of the kept ones: question, part, split, label, text and the places of the answer's tokens.
    """
    kept = []
    for example in answers.kept:
        asked = example.question
        kept.append([asked.id, asked.part, asked.split, example.label, example.text, example.answer])
    return key_hash(kept)


def write_found(
    folder: Path,
    about: Mapping[str, Any],
    probe: Probe,
    fits: Mapping[str, Sequence[Fit]],
    magnitude: Float[np.ndarray, "layer_neuron"],
) -> None:
    """Write a probe and other fits to a folder, what it is about last: without that nothing is read.

    Args:
        folder: where they are written.
        about: what JSON can hold.
        probe: the whole path, and which fit was chosen.
        fits: by name, lists of fits.
        magnitude: mean contribution of every neuron.
    """
    arrays = {"magnitude": magnitude, **_packed("path", probe.path)}
    for name, some in fits.items():
        arrays |= _packed(name, some)
    write_arrays(folder / _FITS, arrays)
    own = {name: getattr(probe, name) for name in ("chosen", "reason", "region", "other")}
    own["validation"] = [asdict(estimate) for estimate in probe.validation]
    written = {**about, "probe": own, "fits": list(fits), "digest": file_digest(folder / _FITS)}
    write_whole(folder / _ABOUT, json.dumps(written, indent=1) + "\n")


def read_found(folder: Path) -> tuple[dict[str, Any], Probe, dict[str, list[Fit]], Float[np.ndarray, "layer_neuron"]]:
    """Read what `write_found` wrote.

    Args:
        folder: the folder.

    Returns:
        What it is about, the probe, the other fits by name, and mean contributions.

    Raises:
        OSError: there is no such folder, or it holds no such files.
        ValueError: a file is damaged, or is none of these.
    """
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        if file_digest(folder / _FITS) != about["digest"]:
            raise ValueError(f"{_FITS} is not what was saved")
        arrays = read_arrays(folder / _FITS)
        probe = dict(about["probe"])
        probe["validation"] = [Estimate(**estimate) for estimate in probe["validation"]]
        fits = {name: _unpacked(arrays, name) for name in about["fits"]}
        return about, Probe(path=_unpacked(arrays, "path"), **probe), fits, arrays["magnitude"]
    except OSError as error:
        raise OSError(f"could not read {folder} ({error.strerror}): give the folder that Found.save wrote") from error
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, SafetensorError) as error:
        raise ValueError(f"{folder} is damaged, or was not written by Found.save ({error}): find again") from error


def _packed(name: str, fits: Sequence[Fit]) -> dict[str, np.ndarray]:
    """Fits as arrays: one after the other, with how many neurons each has."""
    numbers = np.array([[getattr(fit, number) for number in _NUMBERS] for fit in fits])
    return {
        f"{name}/size": np.array([len(fit.neurons) for fit in fits], int),
        f"{name}/neurons": np.concatenate([np.empty(0, int), *(fit.neurons for fit in fits)]).astype(int),
        f"{name}/weights": np.concatenate([np.empty(0), *(fit.weights for fit in fits)]),
        f"{name}/numbers": numbers.reshape(len(fits), len(_NUMBERS)),
    }


def _unpacked(arrays: Mapping[str, np.ndarray], name: str) -> list[Fit]:
    """The fits that `_packed` made arrays of."""
    size, neurons, weights, numbers = (arrays[f"{name}/{part}"] for part in ("size", "neurons", "weights", "numbers"))
    ends = np.cumsum(size)[:-1]
    fits = []
    for own, weight, row in zip(np.split(neurons, ends), np.split(weights, ends), numbers.tolist(), strict=True):
        fits.append(Fit(neurons=own, weights=weight, **dict(zip(_NUMBERS, row, strict=True))))
    return fits

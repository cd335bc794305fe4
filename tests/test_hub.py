"""What went wrong while loading is said as what it is: no full disk and no lack of memory is called a network fault."""

from __future__ import annotations

import errno
import logging

import httpx
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from transformers import AutoModelForCausalLM

from hn_utils.hub import RETRYING, patience, remedy
from hn_utils.subject import Subject


def answer(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://hub.example/model"))


def wrapped(cause: BaseException) -> OSError:
    """As Transformers wraps what the hub's client raises."""
    try:
        raise OSError("We had a problem with the model") from cause
    except OSError as error:
        return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (wrapped(GatedRepoError("gated", response=answer(403))), "hf auth login"),
        (wrapped(httpx.HTTPStatusError("401", request=answer(401).request, response=answer(401))), "hf auth login"),
        (wrapped(RepositoryNotFoundError("no", response=answer(404))), "no such thing"),
        (wrapped(RevisionNotFoundError("no", response=answer(404))), "no such thing"),
        (wrapped(httpx.ConnectError("[Errno -2] Name or service not known: connection")), "check your network"),
        (OSError("We couldn't connect to 'https://hub.example' to load the files"), "check your network"),
        (wrapped(OSError(errno.ENOSPC, "No space left on device")), "the disk is full"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "does not fit into memory"),
        (wrapped(RuntimeError("DefaultCPUAllocator: can't allocate memory")), "does not fit into memory"),
        (MemoryError(), "does not fit into memory"),
        (ValueError("header too large"), "check the name and its files"),
    ],
)
def test_the_remedy_fits_the_fault(error, told):
    assert told in remedy(error)


def test_a_model_that_does_not_fit_is_not_a_network_fault(study, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 30 GiB")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", full)
    with pytest.raises(OSError, match=r"could not load model .*instruct.* does not fit into memory") as raised:
        Subject.load(study.instruct, study)
    assert "network" not in str(raised.value)


def test_retries_are_told_once(capsys):
    with patience():
        for second in (1, 2, 4):
            RETRYING.warning("'[Errno -2]' thrown while requesting HEAD https://hub.example")
            RETRYING.warning("Retrying in %ds [Retry 1/5].", second)
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("asked again") == 1
    assert "Retrying" not in printed.out + printed.err
    assert not RETRYING.filters
    assert RETRYING.name in logging.root.manager.loggerDict

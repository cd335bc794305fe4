"""Sampling by a server: it reads the prompts that we read, it is the model that we read, and nothing is drawn twice."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from completion_server import CompletionServer

from hn_utils.answers.asking import prompts_of
from hn_utils.answers.served import N_CHECKED, Served
from hn_utils.models.generation import generate
from hn_utils.questions.question_sets import load_questions
from hn_utils.study import Sampling

COLD = Sampling(n=2, temperature=0.01, max_new_tokens=4)


@pytest.fixture(scope="module")
def asked(study):
    return [q for q in load_questions(study) if q.part == "standard" and q.strata["quintile"] == 0][:8]


@pytest.fixture
def drawn(subject, study, asked, tmp_path, monkeypatch):
    """What a server draws for some of the questions, from an empty cache."""
    monkeypatch.setenv("HN_CACHE", str(tmp_path))

    def drawn(server: CompletionServer, sampling: Sampling = COLD, questions=asked, seed: int = 0):
        there = replace(study, served_at=server.url, sampling=sampling, seed=seed)
        prompts = prompts_of(subject.encoder, questions, study)
        return Served(subject, there).generate(questions, prompts)

    return drawn


TEXT = {"rich": False, "takes_ids": False}


@pytest.mark.parametrize(
    ("manner", "expected"),
    [
        ({}, "token ids with top-k"),
        ({"dtype": torch.bfloat16}, "token ids with top-k"),
        ({"tells_logprobs": False, "tells_usage": False}, "token ids with top-k"),
        ({"rich": False}, "token ids"),
        ({**TEXT, "begins_text": False}, "text"),
        ({"begins_ids": True}, "text without its begin token"),
        (TEXT, "text without its begin token"),
        ({**TEXT, "tells_usage": False}, "text without its begin token"),
        ({**TEXT, "tells_logprobs": False, "knows_n": False}, "text without its begin token"),
    ],
    ids=str,
)
def test_a_server_draws_what_the_model_would(drawn, subject, study, asked, manner, expected, capsys):
    own = generate(subject, prompts_of(subject.encoder, asked, study), COLD)
    with CompletionServer(study.instruct, **manner) as server:
        there = drawn(server)
    form, off = re.search(r"asked by (.*), its .* tokens are (.*) nats off", capsys.readouterr().out).groups()
    assert (form, float(off) <= 0.005) == (expected, True)
    assert [[r.ids for r in row] for row in there] == [[r.ids for r in row] for row in own]
    for mine, its in zip(sum(own, []), sum(there, []), strict=True):
        assert its.text == mine.text
        np.testing.assert_allclose(its.logprobs, mine.logprobs, atol=1e-4)


def test_the_server_reads_the_very_ids_that_are_read_here(drawn, subject, study, asked):
    with CompletionServer(study.instruct) as server:
        drawn(server)
    sent = [body["prompt"] for body in server.seen if body["n"] == 2]
    assert sorted(sent) == sorted(prompts_of(subject.encoder, asked, study))  # once each: n draws at once
    settings = {(b["temperature"], b["top_p"], b["top_k"], b["max_tokens"]) for b in server.seen if b["n"] == 2}
    assert settings == {(0.01, 0.9, 50, 4)}


def test_draws_depend_on_their_question_and_the_seed_alone(drawn, study, asked, monkeypatch, tmp_path):
    warm = Sampling(n=5, temperature=1.5, max_new_tokens=4)
    with CompletionServer(study.instruct) as server:
        together = drawn(server, warm)
        monkeypatch.setenv("HN_CACHE", str(tmp_path / "other"))
        assert drawn(server, warm, asked[5:7]) == together[5:7]
        monkeypatch.setenv("HN_CACHE", str(tmp_path / "third"))
        server.knows_n = False  # draw by draw they are the same
        assert drawn(server, warm, asked[6:7]) == together[6:7]
        server.knows_n = True
        assert drawn(server, warm, asked[6:7], seed=1) != together[6:7]
    assert len({r.text for row in together for r in row}) > len(asked)


def test_a_server_is_checked_once(subject, study, asked, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HN_CACHE", str(tmp_path))
    with CompletionServer(study.instruct) as server:
        serving = Served(subject, replace(study, served_at=server.url, sampling=COLD))
        for question in asked[:3]:  # as shard by shard
            serving.generate([question], prompts_of(subject.encoder, [question], study))
    assert capsys.readouterr().out.count("it runs the model that is read here") == 1


def test_what_was_drawn_is_kept(drawn, study, asked):
    with CompletionServer(study.instruct, dies_after=2 * N_CHECKED + 5) as server:
        with pytest.raises(OSError, match="failed after 5 of 8 replies .*kept"):
            drawn(server)
        server.dies_after = None
        before = len(server.seen)
        first = drawn(server)
        assert len(server.seen) - before == 2 * N_CHECKED + 8 - 5
    assert drawn(server) == first  # from the ledger: the server is gone


@pytest.mark.parametrize("manner", [{}, TEXT, {"tells_logprobs": False}], ids=str)
def test_another_model_is_refused_before_anything_is_drawn(drawn, study, manner):
    refused = pytest.raises(ValueError, match="does not run .*instruct, which is read here: .* nats off")
    with CompletionServer(study.base, **manner) as server, refused:
        drawn(server)
    assert {body["temperature"] for body in server.seen} == {0.0}


def test_a_server_that_does_not_sample_is_refused(drawn, study):
    with CompletionServer(study.instruct, samples=False) as server:
        with pytest.raises(ValueError, match="does not sample: at temperature 2.0 it repeats its greedy answers"):
            drawn(server)
        drawn(server, Sampling(n=1, temperature=0.0, max_new_tokens=4))

"""What a sweep does when workers die or no node has room, with a made-up Ray. With Ray: test_cluster.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from test_sweep import sweep_file

from hn_utils.sweeps.ended import Ended
from hn_utils.sweeps.ray_cluster import outcome, require_room, spread
from hn_utils.sweeps.running import begin, carry_out, code_version
from hn_utils.sweeps.sweep_file import Resources, read_sweep

KINDS = ("OutOfMemoryError", "NodeDiedError", "WorkerCrashedError", "ObjectLostError")


class RayError(Exception):
    """What Ray's own errors have in common."""


class MadeUpRay:
    """As much of Ray as a sweep needs, whose workers run out of memory as often as they are told to, and one node."""

    exceptions = SimpleNamespace(RayError=RayError, **{kind: type(kind, (RayError,), {}) for kind in KINDS})

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths

    def remote(self, _):
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda study, *_: study.name))

    def wait(self, sent, **_):
        return sent[:1], sent[1:]

    def get(self, name):
        if self.deaths:
            self.deaths -= 1
            raise self.exceptions.OutOfMemoryError
        return Ended({}, "", f"ended, {name}")

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {"CPU": 64.0}}]


@pytest.mark.parametrize(("deaths", "came"), [(3, "ended"), (4, "it ran out of memory, 4 times: give it more memory")])
def test_a_task_that_runs_out_of_memory_is_begun_again_as_often_as_is_said(deaths, came, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HN_RUNS", str(tmp_path))
    running = begin(read_sweep(sweep_file(tmp_path)))
    spread(MadeUpRay(deaths), running, running.left()[:1], carry_out, code_version())
    assert running.failed["small-seed-0"].startswith(came)
    assert "small-seed-0 ran out of memory; it is begun again (3 of 3)" in capsys.readouterr().out


def test_another_error_of_a_worker_ends_its_task_with_its_last_line():
    def get(_):
        raise RayError("a long trace\nModuleNotFoundError: No module named 'hn_utils'")

    came = outcome(SimpleNamespace(exceptions=MadeUpRay.exceptions, get=get), "sent")
    assert came.failure == "ModuleNotFoundError: No module named 'hn_utils'"
    assert came.files == {}


def test_what_no_node_can_take_is_told_before_it_is_waited_for():
    require_room(MadeUpRay(0), Resources(num_cpus=2))
    with pytest.raises(ValueError, match="fit on no node of the cluster, which have 2 CPU, 0 GPU, 0 memory: ask"):
        require_room(MadeUpRay(0), Resources(num_cpus=4))

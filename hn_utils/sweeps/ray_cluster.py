"""Tasks of a sweep on a Ray cluster. Only this module imports Ray.

A node needs this package in the same version, the models, and the hub's token. A task's files come back as its result:
nodes need share no disk. If they share HN_CACHE, what a dead node had kept is not computed again. API keys are not
sent, since Ray would write them into its logs: a node must have its own.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hn_utils.storage.progress import tell
from hn_utils.study import Study
from hn_utils.sweeps.ended import Ended

if TYPE_CHECKING:
    from hn_utils.sweeps.running import Running
    from hn_utils.sweeps.sweep_file import Resources

_LOOK = 1.0  # seconds between two looks at what has ended
_ANSWER = 10.0  # seconds that a cluster may take to answer
_DEATHS = {"OutOfMemoryError": "ran out of memory", "NodeDiedError": "was lost with its node"}


def connected(address: str) -> Any:
    """Ray, joined to a cluster. Raises ValueError if it is not installed, OSError if no cluster answers there."""
    try:
        ray = import_module("ray")
    except ImportError:
        raise ValueError(
            f"address={address!r} needs Ray: `pip install 'hn-utils[cluster]'`, or leave it out (and RAY_ADDRESS "
            "unset): the tasks then run in this process, with the same results"
        ) from None
    own = {name: os.environ[name] for name in ("HN_CACHE", "HN_MODELS") if name in os.environ}
    variables = {"env_vars": {"TQDM_DISABLE": "1", **own}}
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdecimal():  # Ray would knock for minutes
            socket.create_connection((host.strip("[]"), int(port)), _ANSWER).close()
        ray.init(address=address, log_to_driver=False, logging_level="error", runtime_env=variables)
    except Exception as error:  # of as many kinds as there are ways not to connect
        told = str(error).partition("\n")[0]
        raise OSError(
            f"address={address!r}: no Ray cluster answers there ({told}): check it with `ray status --address`, or "
            "leave it out to run in this process"
        ) from error
    return ray


def require_room(ray: Any, wanted: Resources) -> None:
    """Raises ValueError if no node could ever take a task: Ray would wait for one that does."""
    needs = {"CPU": wanted.num_cpus, "GPU": wanted.num_gpus, "memory": wanted.memory or 0}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(kind, 0) >= n for kind, n in needs.items()) for node in nodes):
        there = "; ".join(", ".join(f"{node.get(kind, 0):g} {kind}" for kind in needs) for node in nodes)
        raise ValueError(f"resources={wanted} fit on no node of the cluster, which have {there}: ask for less")


def on_cluster(running: Running, left: list[Study], address: str, carry_out: Callable[..., Ended], code: str) -> None:
    """Run the tasks on a Ray cluster, as many at once as it has room for; a worker calls `carry_out` with a study, the
    number of its threads and `code`, the version that it must have."""
    ray = connected(address)
    try:
        require_room(ray, running.sweep.resources)
        spread(ray, running, left, carry_out, code)
    finally:
        ray.shutdown()  # with what is still at work


def spread(ray: Any, running: Running, left: list[Study], carry_out: Callable[..., Ended], code: str) -> None:
    """Send out the tasks and keep what comes back. One whose worker died is sent again, as often as the sweep says:
    here, since Ray's own retries neither tell nor end where a task never fits into memory."""
    wanted, deaths, waiting = running.sweep.resources, Counter[str](), dict[Any, Study]()
    given = {"num_cpus": wanted.num_cpus, "num_gpus": wanted.num_gpus, "max_retries": 0}
    remote = ray.remote(carry_out).options(**given, memory=wanted.memory and int(wanted.memory))

    def send(study: Study) -> None:
        waiting[remote.remote(study, wanted.num_cpus, code)] = study

    for study in left:
        send(study)
    while waiting:
        for done in ray.wait(list(waiting), timeout=_LOOK)[0]:
            study = waiting.pop(done)
            ended = outcome(ray, done)
            if not isinstance(ended, str):
                running.end(study, ended)
                continue
            deaths[study.name] += 1
            if (n := deaths[study.name]) <= running.sweep.retries:
                tell(f"{study.name} {ended}; it is begun again ({n} of {running.sweep.retries})")
                send(study)
            else:
                running.lose(study, f"it {ended}, {n} times: give it more memory, or raise retries")
        running.screen.show(f"{running.place} · {len(waiting)} sent out · {running.clock}")


def outcome(ray: Any, done: Any) -> Ended | str:
    """What a task came back with, or in words how its worker died."""
    kinds = ray.exceptions
    try:
        return ray.get(done)
    except (kinds.WorkerCrashedError, kinds.NodeDiedError, kinds.OutOfMemoryError, kinds.ObjectLostError) as error:
        return _DEATHS.get(type(error).__name__, "lost its worker")
    except kinds.RayError as error:  # such as a node that lacks this package
        return Ended({}, str(error), str(error).strip().rpartition("\n")[2])

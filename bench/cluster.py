"""What a second worker is worth: four very small tasks on a local Ray cluster of one node, then of two, a core each.

`.venv/bin/python bench/cluster.py`, with Ray installed (`pip install -e '.[cluster]'`); takes some minutes. Efficiency
is the time on one over twice the time on two. A task this small is half start and imports: longer ones can but gain.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

from hn_utils.sweeps.running import run_sweep
from hn_utils.sweeps.sweep_file import read_sweep

STUDY = {"like": "organism-quick", "n_questions": 200, "n_items": 10, "n_control_sets": 2, "checkpoints": []}
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_log_monitor": False, "no_monitor": True}


def seconds(folder: Path, n_nodes: int) -> tuple[float, dict[str, bytes]]:
    """How long the sweep takes on this many nodes, without their start, and what its tasks found."""
    from ray.cluster_utils import Cluster

    place = folder / str(n_nodes)
    os.environ.update(HN_RUNS=str(place / "runs"), HN_CACHE=str(place / "cache"))
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0, "include_dashboard": False})
    for _ in range(n_nodes):
        cluster.add_node(**NODE)
    try:
        begun = time.monotonic()
        page = run_sweep(read_sweep(folder / "four.json"), cluster.address)
        took = time.monotonic() - begun
    finally:
        cluster.shutdown()
    return took, {file.parent.name: file.read_bytes() for file in page.parent.glob("*/summary.json")}


def main() -> None:
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_worker_niceness="0")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tiny.json").write_text(json.dumps(STUDY))
        sweep = {"studies": [str(folder / "tiny.json")], "seeds": [0, 1, 2, 3]}
        (folder / "four.json").write_text(json.dumps(sweep))
        (one, found), (two, again) = seconds(folder, 1), seconds(folder, 2)
    print(f"four tasks: {one:.0f} s on one worker, {two:.0f} s on two: efficiency {one / (2 * two):.2f}")
    print(f"the same summaries, byte for byte: {found == again}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()

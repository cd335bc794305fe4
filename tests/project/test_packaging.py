"""What an installation holds: the bundled models within 15 MB, one sentence for what only a clone has, and one list of
what is needed, whichever way it is installed."""

from __future__ import annotations

import re
import sys
import tomllib
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import SLOW_FILES
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import hn_utils
from hn_utils.__main__ import main
from hn_utils.models.places import check_folder
from hn_utils.organism.__main__ import main as organism
from hn_utils.origins import look_back
from hn_utils.storage import paths
from hn_utils.study import BUNDLED, PLANTED, load_study

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WHEEL = 15_000_000  # bytes at most
MODEL = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}


def within(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def shipped() -> Iterator[Path]:
    """The files that pyproject.toml puts into a wheel."""
    build = PROJECT["tool"]["hatch"]["build"]
    for top in build["only-include"]:
        for file in sorted((ROOT / top).rglob("*")):
            path = file.relative_to(ROOT).as_posix()
            ignored = "__pycache__" in file.parts or within(path, ["data/cache"])
            if file.is_file() and not ignored and not within(path, build["exclude"]):
                yield file


def test_a_wheel_holds_the_bundled_models_and_weighs_no_more_than_it_may():
    files = {file.relative_to(ROOT).as_posix(): len(zlib.compress(file.read_bytes())) for file in shipped()}
    assert sum(files.values()) <= WHEEL  # a wheel is a zip, and shrinks each file by itself
    for model in ("organism/base", "organism/instruct", "planted/instruct"):
        assert {f"data/{model}/{file}" for file in MODEL} <= files.keys()
    for file in ("organism/facts.parquet", "organism/recipe.json", "planted/facts.parquet", "planted/planted.json"):
        assert f"data/{file}" in files
    assert {f"data/real_world/{file}" for file in ("facts.tsv", "kinds.tsv", "texts.txt")} <= files.keys()
    assert "hn_utils/py.typed" in files
    assert {Path(file).suffix for file in files if file.startswith("hn_utils/")} >= {".py", ".html", ".js", ".typed"}


def test_what_a_wheel_leaves_out_is_what_is_said_to_be_only_in_a_clone():
    left_out = PROJECT["tool"]["hatch"]["build"]["exclude"]
    for model in (BUNDLED.instruct, BUNDLED.base, PLANTED[0].instruct):
        assert not within(Path(model).relative_to(ROOT).as_posix(), left_out)
    for model in (*BUNDLED.checkpoints, PLANTED[1].instruct):
        assert within(Path(model).relative_to(ROOT).as_posix(), left_out)


def test_data_lie_in_a_clone_or_in_the_package():
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["sources"] == {"data": "hn_utils/data"}
    assert paths.IN_A_CLONE
    assert paths.DATA == ROOT / "data"
    assert paths.PACKAGE == ROOT / "hn_utils"
    assert not (paths.PACKAGE / "data").exists()


@pytest.fixture
def installed(monkeypatch, tmp_path) -> Path:
    """As if this were the installed package: its data lie in another folder."""
    monkeypatch.setattr(paths, "IN_A_CLONE", False)
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("command", "line", "told"),
    [
        (main, ["notebooks"], "the notebooks are not part of the installed package"),
        (organism, ["train"], "the bundled models cannot be made or measured in the installed package"),
        (organism, ["gates"], "the bundled models cannot be made or measured in the installed package"),
        (organism, ["plant", "--out", "x"], "the bundled models cannot be made or measured in the installed package"),
    ],
)
def test_what_needs_a_clone_says_so_in_one_sentence(command, line, told, installed):
    with pytest.raises(SystemExit, match=rf"^error: {told}: clone the project, and install it there with `pip .*`$"):
        command(line)


def test_a_model_that_is_left_out_is_refused_with_what_to_do(installed):
    with pytest.raises(OSError, match=r"^planted-general/instruct is not part of the installed package: clone the"):
        check_folder(str(installed / "planted-general" / "instruct"))
    with pytest.raises(OSError, match=r"^no folder .*: check the path"):
        check_folder(str(installed.parent / "mine"))


def test_a_timeline_without_the_bundled_checkpoints_is_told(monkeypatch):
    remarks: list[str] = []
    monkeypatch.setattr(look_back, "tell_once", remarks.append)
    look_back.tell_of_left_out(BUNDLED)
    assert not remarks  # a clone has them
    monkeypatch.setattr(look_back, "BUNDLED", load_study("organism", checkpoints=()))
    look_back.tell_of_left_out(PLANTED[0])
    assert not remarks  # it never had any
    look_back.tell_of_left_out(load_study("organism-quick"))
    assert ["clone the project" in remark for remark in remarks] == [True]


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().split()
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def declared(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for, with some extras."""
    project = PROJECT["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    return [Requirement(line) for lines in lists for line in lines]


def test_the_lock_satisfies_what_the_project_asks_for():
    versions = locked()
    for wanted in declared("notebooks", "test"):
        assert versions[canonicalize_name(wanted.name)] in wanted.specifier, wanted


def test_torch_is_a_range_that_a_build_for_the_cpu_satisfies():
    (torch,) = (wanted for wanted in declared() if wanted.name == "torch")
    assert torch.url is None
    assert "2.13.0+cpu" in torch.specifier


def test_an_environment_of_conda_gets_what_make_gets():
    made = yaml.safe_load((ROOT / "environment.yml").read_text())
    *packages, by_pip = made["dependencies"]
    (python,) = (line.removeprefix("python=") for line in packages if line.startswith("python="))
    assert f"{python}.0" in SpecifierSet(PROJECT["project"]["requires-python"])
    assert "pip" in packages
    assert by_pip == {"pip": ["-r requirements.lock", "-e ."]}
    recipe = (ROOT / "Makefile").read_text()
    assert all(line in recipe for line in by_pip["pip"])


def test_the_pythons_that_are_named_are_those_that_are_allowed():
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    assert named == ["3.11", "3.12", "3.13"]
    assert all(f"{version}.0" in allowed for version in named)
    assert "3.10.9" not in allowed
    assert "{}.{}".format(*sys.version_info) in named


def test_the_version_stands_in_two_places_as_one():
    assert PROJECT["project"]["version"] == hn_utils.__version__


def test_what_is_called_slow_is_there():
    """A file that was renamed would count as quick."""
    assert {file.stem for file in (ROOT / "tests").rglob("test_*.py")} >= SLOW_FILES

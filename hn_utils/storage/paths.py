"""Where things lie: the project's own files, in a clone or as they are installed, and what a study leaves behind."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent
IN_A_CLONE = (ROOT / "notebooks").is_dir() and (ROOT / "pyproject.toml").is_file()  # else installed as a package
DATA = (ROOT if IN_A_CLONE else PACKAGE) / "data"  # a wheel holds the models inside the package
NOTEBOOKS = ROOT / "notebooks"


def require_clone(what: str) -> None:
    """Raises OSError if the project is installed as a package, which has not all of its files. `what` begins the
    sentence: what is missing, or cannot be done."""
    if not IN_A_CLONE:
        raise OSError(f"{what}: clone the project, and install it there with `pip install -e .`")


def require_bundled(path: Path) -> None:
    """Raises OSError if this is a file or folder of the bundled models that only a clone has."""
    if DATA in path.parents and not path.exists():
        require_clone(f"{path.relative_to(DATA)} is not part of the installed package")


def set_to(variable: str) -> str | None:
    """What an environment variable says; one that is set to nothing says as little as one that is not set."""
    return os.environ.get(variable) or None


def expanded(where: str | Path) -> str:
    """A path in which `~` is the user's home folder, as it is in a shell; all else as it was given."""
    return os.path.expanduser(where)


def expanded_path(where: str | Path) -> Path:
    return Path(expanded(where))


def folder_of(variable: str, otherwise: Path) -> Path:
    """The folder that an environment variable names, by its full path: notebooks run in a folder of their own."""
    named = set_to(variable)
    return expanded_path(named).absolute() if named else otherwise


def cache_root() -> Path:
    """What has been computed: the folder named by HN_CACHE, else data/cache in a clone, else the user's cache."""
    own = DATA / "cache" if IN_A_CLONE else user_cache_path("hn-utils")
    return folder_of("HN_CACHE", own)


def runs_root() -> Path:
    """Results, a folder a study: the folder named by HN_RUNS, else runs/ in a clone, else in the working folder."""
    return folder_of("HN_RUNS", (ROOT if IN_A_CLONE else Path.cwd()) / "runs")


def models_root() -> Path:
    """Models that were fetched or converted: the folder named by HN_MODELS, else one in the user's cache. No run writes
    there, and what has been computed does not lie there: it can be shared, and emptied, by itself."""
    return folder_of("HN_MODELS", user_cache_path("hn-utils-models"))

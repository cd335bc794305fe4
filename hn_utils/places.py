"""Where things lie: the project's own files in a clone, and what a study leaves behind."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

ROOT = Path(__file__).resolve().parents[1]
IN_A_CLONE = (ROOT / "notebooks").is_dir() and (ROOT / "pyproject.toml").is_file()  # else installed as a package
DATA = ROOT / "data"
NOTEBOOKS = ROOT / "notebooks"


def cache_root() -> Path:
    """What has been computed: the folder named by HN_CACHE, else data/cache in a clone, else the user's cache."""
    own = DATA / "cache" if IN_A_CLONE else user_cache_path("hn-utils")
    return Path(os.environ.get("HN_CACHE", own))


def runs_root() -> Path:
    """Results, a folder a study: the folder named by HN_RUNS, else runs/ in a clone, else in the working folder."""
    return Path(os.environ.get("HN_RUNS", (ROOT if IN_A_CLONE else Path.cwd()) / "runs"))

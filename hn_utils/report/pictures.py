"""PNG images of figures, drawn by a browser in a process of its own that is not waited for longer than it may take.

`python -m hn_utils.report.pictures FOLDER START EACH` is that process: it draws each FOLDER/<name>.json as a .png.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import psutil

_START, _EACH = 60.0, 30.0  # seconds that a browser may take until it answers, and for one figure
WIDTH, HEIGHT = 900, 520
NO_BROWSER = (
    "PNG images of {n} figures are missing, since no Chromium or Chrome answered; the figures themselves are "
    "interactive and complete. For images, install one (on Debian: apt install chromium) and run again."
)


def draw(figures: Mapping[str, Any], start: float = _START, each: float = _EACH) -> dict[str, bytes]:
    """PNG images of some figures (plotly JSON by name); those that no browser drew in time are left out."""
    with tempfile.TemporaryDirectory() as folder:
        for name, figure in figures.items():
            (Path(folder) / f"{name}.json").write_text(json.dumps(figure))
        command = [sys.executable, "-m", __name__, folder, str(start), str(each)]
        process = psutil.Popen(command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
        try:
            process.wait(2 * start + each * len(figures))  # it keeps the same limits itself
        except psutil.TimeoutExpired:
            _kill_below(process)
            process.kill()
        images = {name: Path(folder) / f"{name}.png" for name in figures}
        return {name: path.read_bytes() for name, path in images.items() if path.exists()}


def _kill_below(process: psutil.Process) -> None:
    """End what a process has started: a browser runs in a session of its own and would stay."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


async def draw_folder(folder: Path, start: float, each: float) -> None:
    """Draw what lies in the folder; the first figure that is not drawn in time ends it."""
    from kaleido import Kaleido

    browser = await asyncio.wait_for(Kaleido(n=1, timeout=each).__aenter__(), start)
    for path in sorted(folder.glob("*.json")):
        figure = json.loads(path.read_text())
        height = figure["layout"].get("height", HEIGHT)
        options: Any = {"format": "png", "scale": 1, "width": WIDTH, "height": height}
        try:
            image = await asyncio.wait_for(browser.calc_fig(figure, opts=options), each)
        except TimeoutError:
            raise
        except Exception:  # whatever the browser dislikes in this figure: others can be drawn
            continue
        part = path.with_suffix(".part")
        part.write_bytes(image)
        part.replace(path.with_suffix(".png"))


if __name__ == "__main__":
    try:
        asyncio.run(draw_folder(Path(sys.argv[1]), *map(float, sys.argv[2:4])))
    finally:
        _kill_below(psutil.Process())  # a browser that does not answer is not asked to close, either
        os._exit(0)

"""Images are drawn by a browser that may be missing, may die and may never answer: none of these stops anything."""

from __future__ import annotations

import shutil
import subprocess
import time

import plotly.graph_objects as go
import pytest

from hn_utils.report.pictures import draw

FIGURE = go.Figure(go.Scatter(x=[1, 2], y=[3, 4])).update_layout(height=300).to_plotly_json()


def fake_browser(folder, does: str):
    """A program called chromium."""
    path = folder / "chromium"
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("does", [None, "exit 1", "sleep 987"], ids=["missing", "dies", "never answers"])
def test_a_browser_that_does_not_draw_is_not_waited_for(tmp_path, monkeypatch, does):
    browser = tmp_path / "nowhere" if does is None else fake_browser(tmp_path, does)
    monkeypatch.setenv("BROWSER_PATH", str(browser))
    start = time.monotonic()
    assert draw({"a": FIGURE, "b": FIGURE}, start=4, each=1) == {}
    assert time.monotonic() - start < 60  # at most 2 x 4 + 2 x 1 seconds, on a busy machine
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(browser) not in left
    assert "sleep 987" not in left


@pytest.mark.skipif(not (shutil.which("chromium") or shutil.which("google-chrome")), reason="no Chromium here")
def test_a_browser_draws_what_can_be_drawn():
    broken = {"data": [{"type": "table", "cells": {"values": [["a\x00b"]]}}], "layout": {}}
    images = draw({"a": FIGURE, "broken": broken, "c": FIGURE})
    assert images.keys() >= {"a", "c"}
    assert images["a"] == images["c"]
    assert images["a"][:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(images["a"][i : i + 4], "big") for i in (16, 20))
    assert (width, height) == (900, 300)

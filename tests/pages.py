"""A page in a real browser without a network."""

from __future__ import annotations

from pathlib import Path


def opened(browser, path: Path, width: int = 1280, address: str = ""):
    """The page, at an address within it, and a list that fills with what it complains about."""
    page, complaints = browser.new_page(viewport={"width": width, "height": 900}), []
    page.context.set_offline(True)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri() + address)
    return page, complaints

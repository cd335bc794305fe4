"""How a server's address is written: one spelling, and nothing secret in it."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

OPENAI = "https://api.openai.com/v1"
_PORTS = {"http": 80, "https": 443}


def address_of(url: str | None) -> str:
    """Spell a server's address in one way: scheme, host, port, path, without what the protocol adds to it.

    Args:
        url: the address; without one OPENAI_BASE_URL, or OpenAI's own.

    Returns:
        `scheme://host:port/path`.

    Raises:
        ValueError: it is no address, or holds a password or a query, which would stand in error messages.
    """
    parts = urlsplit(url or os.environ.get("OPENAI_BASE_URL") or OPENAI)
    host = parts.hostname or ""
    try:
        port = parts.port or _PORTS[parts.scheme]
        plain = re.fullmatch(r"[a-z0-9_.:-]+", host) and "@" not in parts.netloc and not parts.query
    except (ValueError, KeyError):
        port, plain = 0, False
    if not plain:
        azure = " (of Azure https://NAME.openai.azure.com/openai/v1, its model named by the deployment)"
        raise ValueError(
            f"a server's address must read http(s)://host:port/path, without password or query, unlike {host!r}'s"
            f"{azure if host.endswith('.azure.com') else ''}"
        )
    path = re.sub(r"/(chat/)?completions$", "", parts.path.rstrip("/"))
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"

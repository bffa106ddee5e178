"""Answers of our own that are large, compressed for browsers that take it: Gradio compresses only what it brings itself."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

from fastapi import Request
from starlette.responses import FileResponse, Response

LEVEL = 4
"""Beyond it, bytes that are hardly fewer cost several times the time."""


def send_compressed(request: Request, body: str, media_type: str) -> Response:
    """Return an answer made just now."""
    if not takes_gzip(request.headers.get("accept-encoding", "")):
        return Response(body, media_type=media_type, headers={"Vary": "Accept-Encoding"})
    packed = gzip.compress(body.encode(), LEVEL)
    return Response(packed, media_type=media_type, headers={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})


def send_compressed_file(request: Request, path: Path, media_type: str, *, max_age_s: int) -> Response:
    """Return a file that does not change while the program runs; it is compressed once, and kept so."""
    headers = {"Cache-Control": f"max-age={max_age_s}", "Vary": "Accept-Encoding"}
    if not takes_gzip(request.headers.get("accept-encoding", "")):
        return FileResponse(path, media_type=media_type, headers=headers)
    return Response(_compressed_file(path), media_type=media_type, headers={**headers, "Content-Encoding": "gzip"})


def takes_gzip(accepted: str) -> bool:
    """Return whether a browser takes gzip, by its Accept-Encoding."""
    for part in accepted.lower().split(","):
        name, _, weight = part.replace(" ", "").partition(";q=")
        if name in ("gzip", "*"):
            return weight.strip("0.") != "" or not weight
    return False


@cache
def _compressed_file(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), LEVEL)

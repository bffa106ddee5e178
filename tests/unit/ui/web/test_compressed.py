"""Large answers are sent small to browsers that take it, and as they are to others."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from ui.web.compressed import send_compressed, send_compressed_file

TEXT = "one object, " * 10_000


@pytest.fixture
def anyio_backend() -> str:
    """As the app runs, whatever else is installed."""
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("accepts", "is_packed"),
    [("gzip, deflate, br", True), ("br;q=1.0, gzip;q=0.8", True), ("*", True), ("br", False), ("gzip;q=0", False), ("", False)],
)
async def test_what_the_browser_takes(tmp_path: Path, accepts: str, is_packed: bool) -> None:
    file, app = tmp_path / "script.js", FastAPI()
    file.write_text(TEXT, encoding="utf-8")

    @app.get("/made")
    def made(request: Request) -> Response:
        return send_compressed(request, TEXT, "application/json")

    @app.get("/kept")
    def kept(request: Request) -> Response:
        return send_compressed_file(request, file, "text/javascript", max_age_s=60)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        for path in ("/made", "/kept", "/kept"):
            answer = await client.get(path, headers={"Accept-Encoding": accepts})
            assert answer.text == TEXT
            assert (answer.headers.get("content-encoding") == "gzip") == is_packed
            assert int(answer.headers["content-length"]) < len(TEXT) / 10 or not is_packed
            assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.headers["cache-control"] == "max-age=60"

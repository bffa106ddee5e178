"""The app's own addresses, as a browser asks for them."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from db.labels.store import LabelStore
from db.schema.session import open_database
from tests.stub_judge import StubJudge
from tests.tiny_room import NAME, write_tiny_room
from ui.app import add_routes
from ui.services.workbench import Workbench
from ui.view3d.plotly_view import room_view


@pytest.mark.parametrize("name", ["100%41", "a b", "50%"])
def test_cloud_of_a_scene_with_any_name(tmp_path: Path, name: str) -> None:
    folder = write_tiny_room(tmp_path / "scenes")
    folder.rename(folder.with_name(name))
    for file in (folder.with_name(name) / f"{NAME}_mesh.ply", folder.parent / "ground_truth" / f"{NAME}.txt"):
        file.rename(file.with_name(file.name.replace(NAME, name)))
    app = FastAPI()
    bench = Workbench(folder.parent, LabelStore(open_database(str(tmp_path / "labels.db"))), StubJudge)
    add_routes(app, bench)
    address = json.loads(room_view(name, [], permalink=""))["cloud_url"]

    async def fetch() -> httpx.Response:
        # Not FastAPI's own test client, which decodes an address twice.
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return await client.get(address)

    # In a thread of its own: in this one, the loop of a browser test may be running.
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(asyncio.run, fetch()).result()
    assert got.status_code == 200, got.text
    assert got.json()

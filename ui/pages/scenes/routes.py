"""Addresses of the Scenes page: pictures of scenes, and where files of a scene are sent to."""

from __future__ import annotations

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from engine.errors import MaskgroupError
from ui.pages.scenes.handlers import PICTURE_ROUTE
from ui.pages.scenes.mask_editor import PHOTO_ROUTE, draw_photo
from ui.services.scene_cards import SceneCards
from ui.services.scene_uploads import IncomingFile, SceneUploads, UploadError
from ui.services.workbench import Workbench
from ui.web.page_session import PageSessions
from ui.web.uploads import SCENE_UPLOAD

CACHE_S = 86_400
PIECE_BYTES = 2**20


def add_scene_routes(app: FastAPI, bench: Workbench, cards: SceneCards, uploads: SceneUploads) -> None:
    """Serve the pictures of scenes, which browsers keep, and take files."""

    @app.get(PICTURE_ROUTE)
    def send_scene_picture(scene: str, kind: str) -> Response:
        try:
            picture = cards.picture(bench.find_listed(scene), kind)
        except MaskgroupError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": f"private, max-age={CACHE_S}"})

    @app.get(PHOTO_ROUTE)
    def send_view_photo(scene: str, view: str) -> Response:
        try:
            opened = bench.open_scene(scene).scene
            photo = opened.color(view) if view in opened.view_names else None
            if photo is None:
                return JSONResponse({"error": "There is no such photo."}, status_code=404)
        except MaskgroupError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        return Response(draw_photo(photo), media_type="image/jpeg", headers={"Cache-Control": "private, no-cache"})

    @app.post(SCENE_UPLOAD)
    async def take_file(request: Request, upload: str, path: str) -> Response:
        """Write a request's body to a file of an upload, as it comes in."""
        sessions: PageSessions = request.app.state.sessions
        browser = sessions.read(request.cookies) or ""
        try:
            size = _announced(request)
            file = await to_thread.run_sync(uploads.open_file, browser, upload, path, size)
            if file is not None:
                await _receive(request, file, size)
        except UploadError as error:
            # What has not been read of the body yet never will be.
            return JSONResponse({"error": str(error)}, status_code=413, headers={"Connection": "close"})
        except ClientDisconnect:
            return Response(status_code=400)
        return JSONResponse({"taken": file is not None})


async def _receive(request: Request, file: IncomingFile, size: int) -> None:
    waiting = bytearray()
    received = 0
    try:
        async for piece in request.stream():
            received += len(piece)
            waiting += piece
            if len(waiting) >= PIECE_BYTES:
                await to_thread.run_sync(file.write, bytes(waiting))
                waiting.clear()
        await to_thread.run_sync(file.write, bytes(waiting))
        if received != size:
            raise UploadError("The upload was cut off; choose the files once more.")
    except (UploadError, ClientDisconnect):
        await to_thread.run_sync(file.abandon)
        raise
    await to_thread.run_sync(file.close)


def _announced(request: Request) -> int:
    text = request.headers.get("content-length", "")
    if not (text.isascii() and text.isdecimal()) or len(text) > 15:
        raise UploadError("The upload does not say how large it is; expected a Content-Length.")
    return int(text)

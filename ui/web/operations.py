"""Addresses for those who run the app: whether it lives, whether it is ready, and what it has counted."""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from engine.errors import MaskgroupError
from ui.web import metrics

log = logging.getLogger(__name__)

NO_STORE = {"Cache-Control": "no-store"}


def add_operation_routes(app: FastAPI, checks: dict[str, Callable[[], object]]) -> None:
    """Serve /healthz, /readyz and /metrics.

    Args:
        app: The app.
        checks: What has to work before the app is ready, by the name under which it is told of. Each raises a `MaskgroupError`
            where it does not; its sentence goes into the log, as it may name things that are not everybody's business.
    """

    @app.get("/healthz")
    async def send_health() -> Response:
        # On the event loop: it answers if that does.
        return JSONResponse({"status": "ok"}, headers=NO_STORE)

    @app.get("/readyz")
    def send_readiness() -> Response:
        said = {name: _ask(name, check) for name, check in checks.items()}
        is_ready = all(word == "ok" for word in said.values())
        content = {"status": "ok" if is_ready else "not ready", **said}
        return JSONResponse(content, status_code=200 if is_ready else 503, headers=NO_STORE)

    @app.get("/metrics")
    def send_metrics() -> Response:
        return Response(metrics.render(), media_type=metrics.CONTENT_TYPE, headers=NO_STORE)


def _ask(name: str, check: Callable[[], object]) -> str:
    try:
        check()
    except MaskgroupError as error:
        log.warning("not ready, %s: %s", name, error)
        return "failed"
    return "ok"

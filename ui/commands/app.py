"""`maskgroup app`: serve the pages."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from db.schema.urls import show_url
from engine.errors import MaskgroupError
from ui.commands.judge_options import MODEL_HELP, DeviceOption, DtypeOption, FourBitOption, LoaderOption
from ui.commands.scene_options import FollowLinksOption, ScenesOption
from ui.settings import Settings
from ui.web.hosts import allowed_hosts


def app(
    scenes: ScenesOption = None,
    db: Annotated[str | None, typer.Option(help="SQLite file or SQLAlchemy URL for the labels.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name by which other machines reach the app; may be given several times. Needed where --host is not local."
        ),
    ] = None,
    port: Annotated[int | None, typer.Option(help="TCP port.", min=0, max=65535)] = None,
    model: Annotated[str | None, typer.Option(help=f"Judge: {MODEL_HELP}")] = None,
    also: Annotated[list[str] | None, typer.Option(help="Another judge to compare with; may be given several times.")] = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    four_bit: FourBitOption = False,
    loader: LoaderOption = None,
    follow_links: FollowLinksOption = None,
    import_root: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of this machine from which the Scenes page may import; may be given several times."),
    ] = None,
    max_upload_mb: Annotated[int | None, typer.Option(help="What an upload of a scene may have, in MB.", min=1)] = None,
    mask_model: Annotated[
        str | None,
        typer.Option(
            help="Mask generator of transformers for the Scenes page: a hub id such as facebook/sam2.1-hiera-small, or a model's "
            "folder; default: only what is built in."
        ),
    ] = None,
) -> None:
    """Open the app: pick two masks, get a verdict, see it in 3D, correct it."""
    given = {"scenes": scenes, "db": db, "host": host, "port": port, "model": model, "also": tuple(also) if also else None}
    given |= {"allowed_host": tuple(allowed_host) if allowed_host else None}
    given |= {"import_root": tuple(import_root) if import_root else None, "max_upload_mb": max_upload_mb}
    given |= {"mask_model": mask_model}
    given |= {"device": device, "dtype": dtype, "four_bit": four_bit or None, "loader": loader}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})  # pyright: ignore[reportArgumentType]
    serve(settings)


STOP_S = 2
"""What is being answered when the app is told to stop may take so long still."""
SWITCH_S = 0.0005
"""Threads that read the database give up the interpreter at each row; with Python's 5 ms they would wait that long to go on, every
time, while a grouping runs. 20 labelling clients get about twice as many answers a second."""


def serve(settings: Settings) -> None:
    """Serve until interrupted.

    Raises:
        MaskgroupError: If the port is taken, or the database or the scenes cannot be opened.
    """
    # Before all that takes time.
    allowed_hosts(settings.host, settings.allowed_host)

    import socket

    import uvicorn

    from ui.app import build_app
    from ui.web.http_protocol import GuardedProtocol

    # What the app writes (pictures, votes, runs, comparisons) is its owner's alone.
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    sys.setswitchinterval(SWITCH_S)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        raise MaskgroupError(
            f"Cannot listen on {settings.host}:{settings.port} ({error.strerror}); choose another port with --port."
        ) from error
    application = build_app(settings)
    shown_host = f"[{settings.host}]" if family == socket.AF_INET6 else settings.host
    address = f"http://{shown_host}:{listener.getsockname()[1]}"
    typer.echo(f"maskgroup is at {address} (labels: {show_url(settings.db)}; stop with Ctrl+C)")
    # Headers that proxies add are not believed: anybody may send them.
    config = uvicorn.Config(
        application,
        log_level="warning",
        http=GuardedProtocol,
        ws="none",
        proxy_headers=False,
        server_header=False,
        # An open page keeps a connection for good: the end is not its to decide.
        timeout_graceful_shutdown=STOP_S,
    )
    uvicorn.Server(config).run(sockets=[listener])

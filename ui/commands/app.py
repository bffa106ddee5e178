"""`maskgroup app`: serve the pages."""

from __future__ import annotations

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
from ui.web.proxies import MetricsReaders, TrustedProxies, clean_root_path


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
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(help="Address or network of a proxy whose X-Forwarded headers are believed; may be given several times."),
    ] = None,
    root_path: Annotated[str | None, typer.Option(help="Path below which a proxy serves the app, such as /maskgroup.")] = None,
    metrics_from: Annotated[
        list[str] | None,
        typer.Option(help="Address or network that may read /metrics, besides this machine; may be given several times."),
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="How lines of the log look: text or json.")] = None,
    log_level: Annotated[str | None, typer.Option(help="The least that is logged: debug, info, warning or error.")] = None,
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
    given |= {"trusted_proxy": tuple(trusted_proxy) if trusted_proxy else None, "root_path": root_path}
    given |= {"metrics_from": tuple(metrics_from) if metrics_from else None, "log_format": log_format, "log_level": log_level}
    given |= {"import_root": tuple(import_root) if import_root else None, "max_upload_mb": max_upload_mb}
    given |= {"mask_model": mask_model}
    given |= {"device": device, "dtype": dtype, "four_bit": four_bit or None, "loader": loader}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})  # pyright: ignore[reportArgumentType]
    serve(settings)


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
    TrustedProxies(settings.trusted_proxy)
    MetricsReaders(settings.metrics_from)
    root_path = clean_root_path(settings.root_path)

    import socket

    import uvicorn

    from ui.app import build_app
    from ui.web.ending import ANSWER_S, EndingServer
    from ui.web.http_protocol import GuardedProtocol
    from ui.web.logs import set_up_logging
    from ui.web.served_folder import delete_served_folders

    # What the app writes (pictures, votes, runs, comparisons) is its owner's alone.
    os.umask(0o077)
    set_up_logging(settings.log_format, level=settings.log_level, database=settings.db)
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
    address = f"http://{shown_host}:{listener.getsockname()[1]}{root_path and root_path + '/'}"
    typer.echo(f"maskgroup is at {address} (labels: {show_url(settings.db)}; stop with Ctrl+C)")
    # `ui.web.proxies` reads the headers that proxies add, and says whose are believed.
    config = uvicorn.Config(
        application,
        log_level="warning",
        http=GuardedProtocol,
        ws="none",
        proxy_headers=False,
        server_header=False,
        log_config=None,
        # An open page keeps a connection for good: the end is not its to decide.
        timeout_graceful_shutdown=ANSWER_S,
    )
    EndingServer(config, guard=application, clean_up=delete_served_folders).run(sockets=[listener])

"""Makes the endpoints known to Gradio: names, descriptions, types."""

from __future__ import annotations

from gradio.events import api as add_endpoint  # pyright: ignore[reportUnknownVariableType]  # gradio: its function's result is untyped

from ui.endpoints.api import Api, endpoints

SLOW = ("v1_judge",)
"""Those in which a model may be asked: one at a time, as two would only share its processor."""


def add_endpoints(api: Api) -> None:
    """Add them to the blocks in whose context this is called."""
    for name, function in endpoints(api).items():
        described = " ".join((function.__doc__ or "").split())
        limit = 1 if name in SLOW else 8
        add_endpoint(function, api_name=name, api_description=described, concurrency_id=f"api-{name}", concurrency_limit=limit)

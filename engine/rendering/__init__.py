"""Rendering: one pass per view by any backend. Heavy packages load only when their backend is asked for."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal, get_args

from engine.errors import RenderError
from engine.rendering.base import Fragments, RenderedView, Renderer, shade
from engine.types import SceneMesh

__all__ = ["BackendName", "Fragments", "RenderedView", "Renderer", "choose_backend", "make_renderer", "shade"]

logger = logging.getLogger(__name__)

BackendName = Literal["auto", "embree", "pytorch3d"]


def choose_backend() -> Literal["embree", "pytorch3d"]:
    """Return what "auto" means here: pytorch3d where CUDA works and it can be imported, else embree."""
    if find_spec("pytorch3d") is None or not _has_cuda_driver():
        return "embree"
    import torch

    if not torch.cuda.is_available():
        return "embree"
    try:
        import pytorch3d.renderer  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except (ImportError, OSError) as error:
        logger.warning("PyTorch3D is installed but cannot be loaded (%s); rendering with Embree.", error)
        return "embree"
    return "pytorch3d"


def _has_cuda_driver() -> bool:
    """Whether NVIDIA's driver can be loaded. If not, the seconds of importing torch are saved."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _make_embree(mesh: SceneMesh) -> Renderer:
    from engine.rendering.embree import EmbreeRenderer

    return EmbreeRenderer(mesh)


def _make_pytorch3d(mesh: SceneMesh) -> Renderer:
    from engine.rendering.pytorch3d import PyTorch3DRenderer

    return PyTorch3DRenderer(mesh)


BACKENDS: dict[str, Callable[[SceneMesh], Renderer]] = {"embree": _make_embree, "pytorch3d": _make_pytorch3d}


def make_renderer(mesh: SceneMesh, backend: BackendName = "auto") -> Renderer:
    """Return a renderer of `mesh`.

    Raises:
        RenderError: If the backend is unknown or cannot run here, or the mesh has no faces.
    """
    name = choose_backend() if backend == "auto" else backend
    if name not in BACKENDS:
        raise RenderError(f"There is no rendering backend {backend!r}; choose one of {', '.join(get_args(BackendName))}.")
    return BACKENDS[name](mesh)

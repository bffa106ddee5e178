"""Lists every bundled file with its source, licence and SHA-256 in assets/MANIFEST.tsv: ``python -m engine.manifest``.

`BUNDLES` has each bundle's source and licence once. A file that belongs to no bundle is an error, so nothing is added unnoticed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from engine.assets import ASSETS_DIR
from engine.errors import SceneError

HEADER = "path\tsha256\tbytes\tlicence\tsource"


@dataclass(frozen=True)
class Bundle:
    """Files under one folder of assets/ that share their source and licence."""

    prefix: str
    licence: str
    source: str


BUNDLES = (
    Bundle(
        "scenes/",
        "CC0-1.0, CC-BY-3.0 and CC-BY-3.0-US; each model in scenes/ATTRIBUTION.md",
        "room made from furniture of Debian's sweethome3d-furniture 1.8-1",
    ),
    Bundle(
        "comparisons/",
        "Apache-2.0",
        "made here from the bundled scene and models by python -m ui.commands.make_shipped_comparison",
    ),
    Bundle("models/", "Apache-2.0", "trained here from scratch; see the README in the model's folder"),
)


def list_files(assets: Path = ASSETS_DIR) -> list[Path]:
    """Return the bundled files, sorted; hidden files and the manifest itself are left out."""
    found = (path for path in assets.rglob("*") if path.is_file() and path.name != "MANIFEST.tsv")
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(assets).parts))


def make_manifest(assets: Path = ASSETS_DIR) -> str:
    """Return the text of MANIFEST.tsv for what is in `assets` now.

    Raises:
        SceneError: If a file belongs to no bundle.
    """
    lines = [HEADER]
    for path in list_files(assets):
        name = path.relative_to(assets).as_posix()
        bundle = next((bundle for bundle in BUNDLES if name.startswith(bundle.prefix)), None)
        if bundle is None:
            raise SceneError(f"{path}: belongs to no bundle, expected a source and a licence; add an entry in engine/manifest.py.")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"{name}\t{digest}\t{path.stat().st_size}\t{bundle.licence}\t{bundle.source}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ASSETS_DIR / "MANIFEST.tsv").write_text(make_manifest(), encoding="utf-8")

"""Settings of the app and the command line: flags win over `MASKGROUP_*` environment variables, which win over these defaults."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from engine.assets import SCENES_DIR
from engine.errors import MaskgroupError
from engine.scenes import follow_links_into
from engine.scenes.folders import parse_folders


def default_database() -> str:
    """Return the path of the database in the user's data folder (`XDG_DATA_HOME`, else ~/.local/share)."""
    data_home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return str(data_home / "maskgroup" / "labels.db")


class Settings(BaseSettings):
    """Where things are and how the app listens.

    Attributes:
        scenes: Folder of scenes.
        db: Path of a SQLite file, or any SQLAlchemy URL.
        host: Address to listen on; the default serves this machine only.
        allowed_host: Names by which other machines reach the app; needed where `host` is not this machine's loopback. From the
            environment as a list, `["lab.example", "10.0.0.5"]`, or with commas.
        trusted_proxy: Addresses and networks of proxies whose X-Forwarded headers are believed. From the environment as a list, or
            with commas.
        root_path: The path below which a proxy serves the app, such as "/maskgroup".
        metrics_from: Addresses and networks that may read /metrics besides this machine. From the environment as `trusted_proxy`.
        log_format: How lines of the log look: "text" or "json".
        log_level: The least that is logged: "debug" (every request), "info", "warning", "error".
        port: TCP port; 0 lets the system pick a free one.
        model: Judge of the app: "base", "tuned", a run, a model or adapter folder, a hub id, or http://HOST:PORT/v1#MODEL.
        also: More judges to choose from on the pages, written as `model`.
        device: Where local models run: "auto", "cpu", "cuda", "cuda:N", "mps".
        dtype: What they compute in: "auto", "float32", "bfloat16", "float16".
        four_bit: Load the language model's weights in 4 bits, with bitsandbytes.
        loader: "transformers", or "unsloth" on NVIDIA.
        check_served: Before a served model with a run's name is believed, hold it against that run's adapter.
        annotator: Name stored with labels until the person types another.
        follow_links: Folders that symbolic links in scenes may lead into; all others are refused.
        import_root: Folders of this machine from which the Scenes page may import; without any it takes only what is uploaded.
        mask_model: Mask generator of transformers for the Scenes page, hub id or folder, "" = only what is built in.
        max_upload_mb: What an upload of a scene may have in all, in units of 2**20 bytes.
    """

    model_config = SettingsConfigDict(env_prefix="MASKGROUP_", extra="ignore")

    scenes: Path = SCENES_DIR
    db: str = Field("", repr=False)
    host: str = "127.0.0.1"
    allowed_host: Annotated[tuple[str, ...], NoDecode] = ()
    trusted_proxy: Annotated[tuple[str, ...], NoDecode] = ()
    root_path: str = ""
    metrics_from: Annotated[tuple[str, ...], NoDecode] = ()
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    port: int = 7860
    model: str = "base"
    also: tuple[str, ...] = ()
    device: str = "auto"
    dtype: str = "auto"
    four_bit: bool = False
    loader: str = "transformers"
    check_served: bool = True
    annotator: str = "me"
    follow_links: Annotated[tuple[Path, ...], NoDecode] = ()
    import_root: Annotated[tuple[Path, ...], NoDecode] = ()
    mask_model: str = ""
    max_upload_mb: int = Field(2048, gt=0)

    @field_validator("follow_links", "import_root", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Read a list of folders as the environment has it: JSON, or joined as in PATH."""
        return tuple(parse_folders(value)) if isinstance(value, str) else value

    @field_validator("allowed_host", "trusted_proxy", "metrics_from", mode="before")
    @classmethod
    def _split_names(cls, given: object) -> object:
        """Take names with commas between, or a JSON list, from the environment."""
        if not isinstance(given, str):
            return given
        return json.loads(given) if given.lstrip().startswith("[") else [name.strip() for name in given.split(",") if name.strip()]

    def __init__(self, **values: Any) -> None:
        """Read flags and environment.

        Raises:
            MaskgroupError: If a value cannot be used.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = "_".join(str(part) for part in first["loc"][:1])
            raise MaskgroupError(
                f"The setting {name!r} (MASKGROUP_{name.upper()}) cannot be {first['input']!r} ({first['msg']}); correct it."
            ) from error

    def model_post_init(self, context: object, /) -> None:
        """Fill in the default that depends on the environment, and allow the links."""
        if self.follow_links:
            follow_links_into(self.follow_links)
        if not self.db:
            self.db = default_database()

    @property
    def data_folder(self) -> Path:
        """Where the app keeps comparisons, votes and thresholds: beside a SQLite file, else the user's data folder."""
        return _folder_of(default_database() if "://" in self.db else self.db)

    @property
    def is_in_usual_folder(self) -> bool:
        """Whether the data folder is the user's own one, which holds nothing but the app's files."""
        return self.data_folder == _folder_of(default_database())

    @property
    def runs_folder(self) -> Path:
        """Where trainings write: beside the labels that they learn from."""
        return self.data_folder / "runs"

    @property
    def imported_scenes(self) -> Path:
        """Where scenes are imported to, unless another place is named."""
        return self.data_folder / "scenes"

    def scene_folders(self, given: Path | None = None) -> tuple[Path, ...]:
        """Return the folders in which a scene is looked for by its name, in order.

        Args:
            given: What a command was told instead of `scenes`.
        """
        return tuple(dict.fromkeys((given or self.scenes, self.imported_scenes, SCENES_DIR)))


def settings_for(db: str | None) -> Settings:
    """Return the settings, with another database if one is named."""
    return Settings(**({"db": db} if db else {}))


def _folder_of(file: str) -> Path:
    return Path(file).expanduser().resolve().parent

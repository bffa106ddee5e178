"""From a judge's name, as it is given on the command line or to the app, to a judge.

A name is a run of this database, "base", "tuned", a folder, a hub id, or the address of a server.
"""

from __future__ import annotations

import logging
import shlex
from dataclasses import replace

from db.schema.urls import show_url
from engine.errors import ModelError
from engine.evaluation.trained_on import UNKNOWN, TrainedOn, marks_of
from engine.judging.base import Judge, ServedJudge, TowerJudge
from engine.judging.registry import load_judge
from engine.judging.sources import TUNED, LoadOptions, ModelReference, resolve_model
from finetune.runs.models import RunModels
from finetune.runs.promotion import finished_runs
from ui.settings import Settings, default_database
from ui.stores.calibrations import find_kept

logger = logging.getLogger(__name__)


def given_options(settings: Settings) -> LoadOptions:
    """Return how the settings want local models loaded."""
    return LoadOptions(settings.device, settings.dtype, settings.four_bit, settings.loader)


def choose_options(
    settings: Settings, device: str | None = None, dtype: str | None = None, four_bit: bool = False, loader: str | None = None
) -> LoadOptions:
    """Return the settings' options with a command's flags over them."""
    flags = {"device": device, "dtype": dtype, "four_bit": four_bit or None, "loader": loader}
    return replace(given_options(settings), **{name: value for name, value in flags.items() if value is not None})


def loading_flags(settings: Settings) -> list[str]:
    """Return the flags that make a command load local models as the settings say; none for the defaults."""
    chosen, usual = given_options(settings), LoadOptions()
    flags = [
        f"--{name}={getattr(chosen, name)}"
        for name in ("device", "dtype", "loader")
        if getattr(chosen, name) != getattr(usual, name)
    ]
    return [*flags, "--four-bit"] if chosen.four_bit else flags


def database_setting(settings: Settings) -> list[str]:
    """Return the setting that makes a command find the runs beside this database, quoted for a shell; none for the default one.

    It is shown, also in reports that leave the machine: a password in it is not.
    """
    return [] if settings.db == default_database() else [f"MASKGROUP_DB={shlex.quote(show_url(settings.db))}"]


def find_judge(model: str, settings: Settings) -> ModelReference:
    """Return what a judge's name stands for.

    Raises:
        ModelError: If there is no such model, or it is a run without an adapter.
    """
    return resolve_model(model, runs=RunModels(settings.runs_folder))


def open_judge(
    model: str,
    settings: Settings,
    *,
    options: LoadOptions | None = None,
    prompt: str | None = None,
    both_orders: bool = True,
) -> Judge:
    """Load a judge.

    Args:
        model: Its name.
        settings: Where the runs are, and how to load.
        options: How to load, where it is not as the settings say; a server's model takes none.
        prompt: Name of the prompt; default: the one that the model was made for.
        both_orders: Ask both orders of a pair and average their logits.

    Raises:
        ModelError: If there is no such judge, or it cannot be loaded.
    """
    found = find_judge(model, settings)
    chosen = given_options(settings) if options is None else options
    if found.kind == "server" and chosen == given_options(settings):
        # Settings are for local models; flags of a command are not dropped in silence.
        chosen = LoadOptions()
    judge = load_judge(
        found,
        prompt=prompt,
        both_orders=both_orders,
        loading=chosen,
        calibration=find_kept(found, prompt or found.prompt, settings),
    )
    if found.kind == "server" and settings.check_served and isinstance(judge, ServedJudge):
        compare_with_local(judge, found, settings, both_orders=both_orders)
    return judge


def compare_with_local(judge: ServedJudge, served: ModelReference, settings: Settings, *, both_orders: bool) -> None:
    """Hold a served model against the adapter that goes by its name here, where there is one: a server may serve half of it.

    Raises:
        ModelError: If they do not agree.
    """
    if not _is_known_here(served, settings):
        return
    from engine.evaluation.served_check import bundled_pairs, check_served

    try:
        local = load_judge(find_judge(served.name, settings), prompt=judge.prompt.name, both_orders=both_orders)
    except ModelError as error:
        logger.warning("The server's %r could not be held against the adapter of that name here: %s", served.name, error)
        return
    if isinstance(local, TowerJudge):
        check_served(judge, local, bundled_pairs(judge.prompt.picture))


def find_trained_on(model: str, settings: Settings) -> TrainedOn:
    """Return what is known of a judge's training, by its name; of a served model, what is known of the one of that name here.

    Raises:
        ModelError: If there is no such model, or what lies beside its weights is broken.
    """
    found = find_judge(model, settings)
    if found.kind == "server":
        if not _is_known_here(found, settings):
            return UNKNOWN
        found = find_judge(found.name, settings)
    return marks_of(found.base, found.adapter)


def _is_known_here(served: ModelReference, settings: Settings) -> bool:
    """Whether a model here goes by the name that a served one has there."""
    return served.name == TUNED or served.name in finished_runs(settings.runs_folder)

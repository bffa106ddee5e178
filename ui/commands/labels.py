"""`maskgroup labels`: the labels as a file and back, an audit of them, and a backup of the database."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from db.backup import back_up
from db.labels.audit import AuditReport, audit
from db.labels.exchange import export_rows, import_rows
from db.labels.store import LabelStore
from db.schema.session import open_database
from engine.errors import LabelError
from engine.files import write_text_atomically
from engine.strict_json import to_json_text
from ui.commands.scene_options import JsonOption
from ui.services.label_files import SceneShelf, missing_masks, split_stale, write_coco, write_dataset
from ui.settings import Settings, settings_for

Database = Annotated[str | None, typer.Option("--db", help="SQLite file or SQLAlchemy URL; default: MASKGROUP_DB, else the app's.")]
ExportFormat = Literal["jsonl", "csv", "coco", "hf"]
Format = Annotated[ExportFormat, typer.Option("--format", help="coco = masks with group ids, hf = dataset folder of pairs.")]
Scenes = Annotated[Path | None, typer.Option("--scenes", help="Folder of scenes; default: MASKGROUP_SCENES, else the bundled.")]

labels = typer.Typer(help="Export, import, audit and back up labels.", no_args_is_help=True)


@contextmanager
def open_store(db: str | None) -> Generator[LabelStore]:
    """Open the database that --db names, else that of the settings."""
    engine = open_database(db or Settings().db)
    try:
        yield LabelStore(engine)
    finally:
        engine.dispose()


@labels.command("export")
def export_labels(
    out: Annotated[Path, typer.Option("--out", help="File to write (hf: folder); - prints jsonl or csv.")],
    file_format: Format = "jsonl",
    scene: Annotated[str | None, typer.Option(help="Only this scene; default: all.")] = None,
    scenes: Scenes = None,
    db: Database = None,
) -> None:
    """Write labels: as jsonl or csv the whole history, undone rows included; as coco or hf what counts for each pair."""
    if file_format == "coco" or file_format == "hf":
        if str(out) == "-":
            raise LabelError(f"The format {file_format} cannot be printed; give a place with --out.")
        with open_store(db) as store:
            settled = store.settled(scene)
        shelf = SceneShelf(settings_for(db).scene_folders(scenes))
        settled, stale = split_stale(settled, shelf)
        if stale:
            typer.echo(
                f"{len(stale)} stale pairs were left out: their masks are not there, see `maskgroup labels audit`.", err=True
            )
        count = write_coco(settled, shelf, out) if file_format == "coco" else write_dataset(settled, shelf, out)
        typer.echo(f"{count} {'masks' if file_format == 'coco' else 'pairs'} written to {out}.")
        return
    with open_store(db) as store:
        lines = list(export_rows(store.history(scene), file_format))
    if str(out) == "-":
        for line in lines:
            sys.stdout.write(line)
        return
    try:
        write_text_atomically(out, "".join(lines))
    except OSError as error:
        raise LabelError(f"{out} cannot be written ({error.strerror}); give another file with --out.") from error
    typer.echo(f"{len(lines) - (file_format == 'csv')} rows written to {out}.")


@labels.command("import")
def import_labels(
    file: Annotated[Path, typer.Argument(help="File to read, JSON Lines or CSV (by its name's ending).")],
    strict: Annotated[bool, typer.Option("--strict", help="Import nothing if any row is bad.")] = False,
    db: Database = None,
    as_json: JsonOption = False,
) -> None:
    """Add the rows of a file; bad ones are listed by line number and left out. Exit code 1 if there were any."""
    with open_store(db) as store:
        report = import_rows(store.database, file, "csv" if file.suffix.lower() == ".csv" else "jsonl", strict=strict)
    if as_json:
        typer.echo(to_json_text(asdict(report), indent=2))
    else:
        for bad in report.bad:
            typer.echo(f"{file}:{bad.line}: {bad.reason}", err=True)
        left_out = f", {len(report.bad)} bad" + (" (nothing imported: --strict)" if strict else "") if report.bad else ""
        typer.echo(f"{report.added} rows imported, {report.known} known before{left_out}.")
    raise typer.Exit(1 if report.bad else 0)


@labels.command("audit")
def audit_labels(
    scene: Annotated[str | None, typer.Option(help="Only this scene; default: all.")] = None,
    scenes: Scenes = None,
    db: Database = None,
    as_json: JsonOption = False,
) -> None:
    """List labels that cannot all be right. Exit code 1 if masks contradict each other, people disagree or masks are not there."""
    with open_store(db) as store:
        current, history = store.current(scene), store.history(scene)
    report = audit(current, history)
    shelf = SceneShelf(settings_for(db).scene_folders(scenes))
    missing, unchecked = missing_masks(current, shelf)
    if as_json:
        lost = [{"label_id": label.id, "scene": label.scene, "mask": str(key)} for label, key in missing]
        typer.echo(to_json_text({**asdict(report), "missing": lost, "unchecked": dict(unchecked)}, indent=2))
    else:
        for label, key in missing:
            typer.echo(f"{label.scene}: label {label.id} is on mask {key}, which does not exist")
        for name, count in unchecked.items():
            why = "the scene is not in the folder of scenes" if shelf.open(name) is None else "some of its views are broken"
            typer.echo(f"{name}: {why}, so the masks of {count} labels were not checked")
        typer.echo(f"{in_words(report)[:-1]}, {len(missing)} on masks that do not exist.")
    raise typer.Exit(0 if report.is_clean and not missing else 1)


@labels.command("backup")
def backup_labels(target: Annotated[Path, typer.Argument(help="New file.")], db: Database = None) -> None:
    """Copy the database into a new file, also while the app is running."""
    with open_store(db) as store:
        back_up(store.database, target)
    typer.echo(f"Backup written to {target}.")


def in_words(report: AuditReport) -> str:
    """Return an audit as text, one finding a line."""
    lines = [
        f"{found.scene}: contradiction: {' = '.join(map(str, found.cycle))}, but {found.cycle[0]} ≠ {found.cycle[-1]}"
        f" (labels {_ids(found.label_ids)})"
        for found in report.contradictions
    ]
    lines += [
        f"{found.scene}: people disagree: {found.pair.a} and {found.pair.b} (labels {_ids(found.label_ids)})"
        for found in report.disagreements
    ]
    lines += [
        f"{found.scene}: labelled again by {found.annotator}: {found.pair.a} and {found.pair.b} (labels {_ids(found.label_ids)})"
        for found in report.duplicates
    ]
    counts = f"{len(report.contradictions)} contradictions, {len(report.disagreements)} disagreements"
    return "\n".join([*lines, f"{report.n_labels} labels: {counts}, {len(report.duplicates)} labelled again."])


def _ids(label_ids: tuple[int, ...]) -> str:
    return ", ".join(map(str, label_ids))

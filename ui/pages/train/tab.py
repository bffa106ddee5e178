"""The Retrain page: layout and wiring only. What it shows is in `handlers`, what it does in `finetune.runs.registry`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder
from PIL import Image

from engine.types import UInt8Array
from finetune.config import TrainConfig
from finetune.runs.export import export_adapter, export_merged
from finetune.runs.model_card import name_of
from finetune.runs.preview import preview_training
from finetune.runs.registry import FINISHED, Registry
from finetune.runs.stages import SHEET_FILE
from ui.components.plot_scripts import PLOTS_SCRIPT
from ui.errors import shown_as_toast
from ui.escape import escape_markdown
from ui.pages.train import handlers as page
from ui.services.workbench import Workbench

TRAIN_TAB = "train"
POLL_S = 1.0
VIEWING: dict[str, Any] = {"concurrency_id": "train-view", "concurrency_limit": 1}
"""All handlers that say which run is shown take turns, so that the last one asked has the last word."""
# A dropdown also tells that it was left without a change: nothing is to be forgotten then.
FORGET_SCRIPT = """(picked, shown) => picked === shown
  ? [shown, ...Array(3).fill({__type__: 'update'})]
  : [picked, '', '', {__type__: 'update', value: null, visible: false}]"""
KEEP_TYPED_SCRIPT = "(kept, of, shown, typed) => of === shown && !typed ? kept : typed"
IMPROVED = ("the model to improve", "")
BEATEN = ("the model it had to beat", "base")
HELD_BACK = "objects kept back in these scenes"
PROMOTIONS = [
    ("it is surely better (McNemar's test)", "mcnemar"),
    ("the interval of its gain lies above 0", "interval"),
    ("always", "always"),
    ("never", "never"),
]


def build_train_tab(demo: gr.Blocks, bench: Workbench, registry: Registry) -> None:
    """Lay out the page as a tab inside `demo` and wire it."""
    scenes = bench.scene_names()
    with gr.Tab("Retrain", id=TRAIN_TAB):
        timer = gr.Timer(POLL_S, active=False)
        shown = gr.State(None)
        sheet_of = gr.State(None)
        # Hidden in the page: the run whose note and results are on the screen; a note that the server has, and of which run.
        on_screen, kept_note, kept_note_of = (gr.Textbox(visible="hidden") for _ in range(3))
        gr.Markdown(
            "Retrain the model on **your corrections** and on pairs made from these scenes. "
            "It replaces the model in use only if it does better on pairs that it never saw."
        )
        with gr.Row(elem_classes="mg-bar-row"):
            model = gr.Dropdown(
                bench.judges.names(), value=bench.judges.default, label="Model to improve", elem_id="mg-train-model", scale=2
            )
            on = gr.Dropdown(scenes, value=scenes, multiselect=True, label="Train on", elem_id="mg-train-scenes", scale=3)
            judged = gr.Dropdown([HELD_BACK, *scenes], value=HELD_BACK, label="Judge it by", elem_id="mg-train-judged", scale=2)
            start_button = gr.Button("Retrain", variant="primary", elem_id="mg-train-start", scale=1)
            preview_button = gr.Button("Look at the data first", elem_id="mg-train-preview", scale=1)
        with gr.Accordion("Settings", open=False, elem_id="mg-train-settings"):
            with gr.Row():
                pairs = gr.Number(TrainConfig.pairs, label="Pairs", precision=0, minimum=2, elem_id="mg-train-pairs")
                epochs = gr.Number(
                    TrainConfig.epochs, label="Times each is seen", precision=0, minimum=1, elem_id="mg-train-epochs"
                )
                negatives = gr.Radio(
                    [("look-alikes and hard ones", "hard"), ("any", "random")], value="hard", label="Different pairs"
                )
                use_labels = gr.Checkbox(True, label="Use corrections", elem_id="mg-train-labels")
                name = gr.Textbox(label="Name", placeholder="run-1, run-2, …", max_lines=1, elem_id="mg-train-name")
            with gr.Row():
                promotion = gr.Dropdown(PROMOTIONS, value="mcnemar", label="Use it if", elem_id="mg-train-promotion")
                against = gr.Dropdown([IMPROVED], value="", label="Model to beat", elem_id="mg-train-against")
                language_only = gr.Checkbox(TrainConfig.language_only, label="Leave the eyes as they are (faster)")
                augment = gr.Number(TrainConfig.augment, label="Variants of each picture", precision=0, minimum=1)
                evaluation_pairs = gr.Number(
                    TrainConfig.evaluation_pairs, label="Pairs of the verdict", precision=0, minimum=2, elem_id="mg-train-frozen"
                )
            with gr.Row():
                rate = gr.Number(
                    page.rate_for(bench.judges.default, bench, registry), label="Learning rate", elem_id="mg-train-rate"
                )
                rank = gr.Number(TrainConfig.rank, label="LoRA rank", precision=0, minimum=1)
                alpha = gr.Number(TrainConfig.alpha, label="LoRA alpha", precision=0, minimum=1)
                dropout = gr.Number(TrainConfig.dropout, label="LoRA dropout", minimum=0, maximum=0.95)
                batch = gr.Number(TrainConfig.batch_pairs, label="Pairs a step", precision=0, minimum=1)
                seed = gr.Number(TrainConfig.seed, label="Seed", precision=0, minimum=0)
        with gr.Row(elem_classes="mg-saved-row"):
            progress = gr.HTML(elem_id="mg-train-progress")
            cancel_button = gr.Button("Cancel", elem_id="mg-train-cancel", visible=False, scale=0, min_width=110)
            resume_button = gr.Button("Resume", elem_id="mg-train-resume", visible=False, scale=0, min_width=110)
        verdict = gr.HTML(elem_id="mg-train-verdict")
        curves = gr.HTML(html_template='<div class="mg-plots"></div>', js_on_load=PLOTS_SCRIPT, elem_id="mg-train-curves")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                counts = gr.HTML(elem_id="mg-train-counts")
            with gr.Column(min_width=320):
                sheet = gr.Image(
                    show_label=False,
                    format="jpeg",
                    interactive=False,
                    buttons=["fullscreen"],
                    visible=False,
                    elem_id="mg-train-sheet",
                    alt_text="Pairs of crops that the model learns from",
                )
        with gr.Accordion("Log", open=False):
            log = gr.Textbox(show_label=False, lines=8, max_lines=20, interactive=False, elem_id="mg-train-log")

        gr.Markdown("### All trainings")
        table = gr.HTML(elem_id="mg-train-table")
        with gr.Row(elem_classes="mg-bar-row"):
            picked = gr.Dropdown([], label="Run", elem_id="mg-train-run", scale=2)
            promote_button = gr.Button("Use it as the tuned model", elem_id="mg-train-promote")
            back_button = gr.Button("Go back to the one before", elem_id="mg-train-back")
            delete_button = gr.Button("Delete", elem_id="mg-train-delete")
        with gr.Row(elem_classes="mg-bar-row"):
            other = gr.Dropdown([BEATEN], value="base", label="Compare with", elem_id="mg-train-other")
            compare_button = gr.Button("Compare", elem_id="mg-train-compare")
            note = gr.Textbox(label="Note", max_lines=1, max_length=2000, elem_id="mg-train-note")
            export_button = gr.Button("Export adapter", elem_id="mg-train-export")
            merged_button = gr.Button("Export whole model", elem_id="mg-train-merged")
        exported = gr.File(label="Download", visible=False, elem_id="mg-train-file")
        compared = gr.HTML(elem_id="mg-train-compared")

    run_outputs = [progress, cancel_button, resume_button, verdict, curves, counts, sheet, sheet_of, log, timer]
    list_outputs = [table, picked, other, against, model]
    settings = [
        model, on, judged, pairs, epochs, negatives, use_labels, promotion, against, language_only, augment, evaluation_pairs, rate,
        rank, alpha, dropout, batch, seed,
    ]  # fmt: skip

    def read_settings(values: tuple[Any, ...]) -> TrainConfig:
        given: dict[str, Any] = dict(zip(SETTING_NAMES, values, strict=True))
        held = [] if given["judged"] == HELD_BACK else [given["judged"]]
        folders = [str(bench.open_scene(scene).scene.folder) for scene in given.pop("on") if scene not in held]
        given.pop("judged")
        kept = tuple(str(bench.open_scene(scene).scene.folder) for scene in held)
        given |= page.models_for(given["model"], given["parent"], bench, registry)
        return TrainConfig(scenes=tuple(folders), evaluation_scenes=kept, **given)

    def show_run(current: str | None, had_sheet: str | None = None) -> list[Any]:
        run = next((one for one in registry.list() if one.name == current), None)
        events = registry.events(run.name) if run else []
        is_over = run is None or run.status in FINISHED
        picture = read_sheet(registry.folder(run.name)) if run and had_sheet != run.name else None
        is_same_sheet = run is not None and had_sheet == run.name
        found = page.find_counts(run, events)
        return [
            page.show_progress(run, events, registry.worker(run.name) if run else None),
            gr.update(visible=not is_over),
            gr.update(visible=run is not None and run.status in ("failed", "cancelled")),
            page.show_verdict(run),
            page.draw_curves(events),
            page.show_counts(found) if found else "",
            gr.skip() if is_same_sheet else gr.update(value=picture, visible=picture is not None),
            run.name if run and (is_same_sheet or picture is not None) else None,
            page.show_log(events),
            gr.Timer(active=registry.active() is not None),
        ]

    def show_list() -> list[Any]:
        """What there is to choose from; what is chosen stays, as somebody may be choosing just now."""
        runs = registry.list()
        return [
            page.show_registry(runs, registry.tuned()),
            gr.update(choices=[run.name for run in runs]),
            gr.update(choices=[BEATEN, *((name, name) for name in registry.finished())]),
            gr.update(choices=[IMPROVED, *((name, name) for name in bench.judges.names())]),
            gr.update(choices=bench.judges.names()),
        ]

    def show_all(current: str | None) -> list[Any]:
        table, runs, *judges = show_list()
        names = runs["choices"]
        chosen = current if current in names else None
        return [current, *show_run(current), table, gr.update(choices=names, value=chosen), *judges, chosen or "", note_of(current)]

    def note_of(current: str | None) -> str:
        return next((str(run.result.get("note", "")) for run in registry.list() if run.name == current), "")

    all_outputs = [shown, *run_outputs, *list_outputs, on_screen, note]

    @shown_as_toast
    def open_page(current: str | None) -> list[Any]:
        active = registry.active()
        newest = next(iter(registry.list()), None)
        return show_all(active.name if active else current or (newest.name if newest else None))

    @shown_as_toast
    def start(given_name: str, *values: Any) -> list[Any]:
        run = registry.start(read_settings(values), bench.labels.settled(), name=given_name.strip() or None)
        return ["", *show_all(run.name)]

    @shown_as_toast
    def preview(*values: Any) -> list[Any]:
        found = preview_training(read_settings(values), bench.labels.settled())
        words = f"<p>{found.steps} steps, about {page.in_words(found.seconds)}, besides reading the scenes and judging.</p>"
        return [page.show_counts(found.counts) + words, gr.update(value=found.sheet, visible=True)]

    @shown_as_toast
    def poll(current: str | None, had_sheet: str | None) -> list[Any]:
        active = registry.active()
        # While a run goes on, lists in which somebody may be choosing are left alone.
        lists = [gr.skip()] * len(list_outputs) if active is not None else show_list()
        return [*show_run(current, had_sheet), *lists]

    @shown_as_toast
    def pick(chosen: str | None) -> list[Any]:
        return [chosen, *show_run(chosen), note_of(chosen), chosen]

    @shown_as_toast
    def cancel(current: str | None) -> None:
        registry.cancel(page.need_run(current))
        gr.Info("It stops after the current step; what it has learned so far is kept.")

    @shown_as_toast
    def resume(current: str | None) -> list[Any]:
        registry.resume(page.need_run(current))
        return show_all(current)

    @shown_as_toast
    def promote(chosen: str | None) -> list[Any]:
        registry.promote(page.need_run(chosen))
        return show_list()

    @shown_as_toast
    def roll_back() -> list[Any]:
        before = registry.roll_back()
        now = f"{escape_markdown(before)} again" if before else "the one that came with the program, if any"
        gr.Info(f"The tuned model is {now}.")
        return show_list()

    @shown_as_toast
    def delete(chosen: str | None) -> list[Any]:
        registry.delete(page.need_run(chosen))
        newest = next(iter(registry.list()), None)
        return show_all(newest.name if newest else None)

    @shown_as_toast
    def compare(chosen: str | None, with_what: str) -> str:
        first = page.need_run(chosen)
        rival = name_of(str(registry.get(first).config.get("parent", "base"))) if with_what == "base" else with_what
        return page.show_comparison(rival, first, registry.compare(with_what, first))

    @shown_as_toast
    def save_note(chosen: str | None, text: str) -> list[Any]:
        registry.write_note(page.need_run(chosen), text)
        return show_list()

    @shown_as_toast
    def export(chosen: str | None) -> Any:
        run = page.need_run(chosen)
        # In the folder that is served already: Gradio would copy it there on its event loop.
        folder = Path(tempfile.mkdtemp(prefix="maskgroup-", dir=get_upload_folder()))
        return gr.update(value=str(export_adapter(registry.folder(run), folder / f"{run}.zip")), visible=True)

    @shown_as_toast
    def export_whole(chosen: str | None) -> None:
        run = page.need_run(chosen)
        out = export_merged(registry.folder(run), registry.folder(run) / "merged")
        gr.Info(f"The whole model lies in {escape_markdown(out)}.")

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    slow: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "heavy", "concurrency_limit": 1}
    viewing = quiet | VIEWING

    @shown_as_toast
    def suggest_rate(name: str) -> Any:
        return page.rate_for(name, bench, registry)

    model.input(suggest_rate, model, rate, **quiet)
    start_button.click(start, [name, *settings], [name, *all_outputs], **viewing)
    preview_button.click(preview, settings, [counts, sheet], **slow)
    timer.tick(poll, [shown, sheet_of], [*run_outputs, *list_outputs], **viewing)
    # The browser itself takes away what belongs to the run before: a slow answer to this choice would otherwise wipe out what
    # came of the next click (a comparison, a file, a note being typed).
    picked.input(None, [picked, on_screen], [on_screen, note, compared, exported], js=FORGET_SCRIPT, **quiet)
    chosen = picked.input(pick, picked, [shown, *run_outputs, kept_note, kept_note_of], trigger_mode="always_last", **viewing)
    chosen.success(None, [kept_note, kept_note_of, on_screen, note], note, js=KEEP_TYPED_SCRIPT, **quiet)
    cancel_button.click(cancel, shown, None, **quiet)
    resume_button.click(resume, shown, all_outputs, **viewing)
    promote_button.click(promote, picked, list_outputs, **quiet)
    back_button.click(roll_back, None, list_outputs, **quiet)
    delete_button.click(delete, picked, all_outputs, **viewing)
    compare_button.click(compare, [picked, other], compared, **quiet)
    note.submit(save_note, [picked, note], list_outputs, **quiet)
    export_button.click(export, picked, exported, **quiet)
    merged_button.click(export_whole, picked, None, **slow)
    demo.load(open_page, shown, all_outputs, **viewing)


def read_sheet(folder: Path) -> UInt8Array | None:
    """Return a run's sample sheet, (H, W, 3) uint8, None where there is none yet."""
    path = folder / SHEET_FILE
    return np.asarray(Image.open(path).convert("RGB")) if path.is_file() else None


SETTING_NAMES = (
    "model", "on", "judged", "pairs", "epochs", "negatives", "use_labels", "promotion", "parent", "language_only", "augment",
    "evaluation_pairs", "learning_rate", "rank", "alpha", "dropout", "batch_pairs", "seed",
)  # fmt: skip

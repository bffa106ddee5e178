"""The endpoints, each a method: arguments of a program in, plain values out. What takes long is started, and asked for again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import quote

import gradio as gr
from gradio.utils import get_upload_folder

from engine.errors import MaskgroupError
from engine.exporting.write import ALL, FORMATS, find_format
from engine.grouping.graph import Evidence
from engine.types import Decision
from finetune.runs.registry import Registry
from ui.components.pairs import read_pair
from ui.endpoints.arguments import read_choice, read_names, read_text, read_whole
from ui.pages.compare.handlers import settings_of
from ui.pages.review import handlers as review
from ui.pages.train.form import default_values, read_form
from ui.services.comparison_runs import ComparisonRuns
from ui.services.group_exports import GroupExports
from ui.services.grouping_runs import GroupingRuns
from ui.services.review_service import ReviewService
from ui.services.scene_imports import SceneImports
from ui.services.scene_uploads import SceneUploads
from ui.services.workbench import Workbench
from ui.web.gradio_parts import read_cookies
from ui.web.page_session import PageSessions

NEGATIVES = ("hard", "random")


@dataclass(frozen=True)
class Api:
    """All endpoints.

    Attributes:
        bench: Scenes, judges and labels.
        reviews: Hands out pairs.
        imports: Imports of scenes.
        uploads: Files that were sent.
        groupings: Grouping runs.
        exports: Zips of groups.
        comparisons: Comparisons.
        registry: Trainings.
        sessions: Tells whose an upload is.
    """

    bench: Workbench
    reviews: ReviewService
    imports: SceneImports
    uploads: SceneUploads
    groupings: GroupingRuns
    exports: GroupExports
    comparisons: ComparisonRuns
    registry: Registry
    sessions: PageSessions

    def scenes(self) -> list[dict[str, Any]]:
        """List the scenes: name, title, and origin ("given", "imported" or "bundled")."""
        listed = self.bench.list_scenes().scenes
        return [{"name": one.info.name, "title": one.label, "origin": one.origin} for one in listed]

    def scene(self, name: str) -> dict[str, Any]:
        """Return a scene's views in order, each with how many masks it has; these are numbered from 1, the largest first."""
        name = read_text(name, "name")
        views = [{"view": view, "masks": len(self.bench.masks(name, view))} for view in self.bench.views(name)]
        return {"name": name, "views": views}

    def import_scene(self, path: str = "", upload: str = "", request: gr.Request | None = None) -> dict[str, Any]:
        """Import a scene from a path below --import-root, or from an upload of this caller; returns its number, for `imports`."""
        path, upload = read_text(path, "path"), read_text(upload, "upload")
        if bool(path) == bool(upload):
            raise MaskgroupError("Give either path or upload: what lies on the server, or the name of an upload.")
        if path:
            worker = self.imports.start_path(path)
        else:
            browser = self.sessions.read(read_cookies(request)) if request is not None else None
            worker = self.imports.start_upload(self.uploads.take(browser or "", upload))
        return {"number": int(worker.name.rpartition("-")[2])}

    def imports_status(self) -> list[dict[str, Any]]:
        """List the imports, the latest first: number, what, status, share done, message, and the scene's name once it is there."""
        return [
            {
                "number": one.number,
                "what": one.shown,
                "status": one.status,
                "share": one.share,
                "message": one.message,
                "scene": one.scene,
            }
            for one in self.imports.states()
        ]

    def models(self) -> list[str]:
        """List the judges that can be asked, the default first."""
        return self.bench.judges.names()

    def judge(self, scene: str, pair: list[Any], model: str = "") -> dict[str, Any]:
        """Ask a judge whether two masks, [VIEW, NUMBER, VIEW, NUMBER], are the same object; "" asks the app's default model."""
        scene = read_text(scene, "scene")
        verdict = self.bench.verdict(scene, read_pair(self.bench, scene, pair), model=read_text(model, "model") or None)
        return {
            "answer": verdict.answer,
            "p_same": verdict.p_same,
            "ambiguity": verdict.ambiguity,
            "threshold": verdict.threshold,
            "model": verdict.model,
            "prompt": verdict.prompt,
        }

    def queue_next(
        self, scene: str, annotator: str = "", queue: str = "impact", count: int = 1, session: str = ""
    ) -> dict[str, Any]:
        """Hand out the next pairs to label, which nobody else gets meanwhile; send the session that came back along from then on.

        Without "cards", the queue is being made or is done: "queue" says which.
        """
        wanted = {"scene": scene, "annotator": annotator, "queue": queue, "count": count, "session": session}
        return _or_error(review.next_cards(self.reviews, wanted))

    def label(
        self,
        scene: str,
        pair: list[Any],
        decision: str,
        annotator: str = "",
        queue: str = "random",
        session: str = "",
        seconds: float | None = None,
        id: str = "",
    ) -> dict[str, Any]:
        """Store a decision (same, different, unsure, skip) on a pair; when it returns, the label is on disk.

        An id, a UUID, makes it safe to send the same label again.
        """
        read_choice(decision, "decision", get_args(Decision))
        given = {"scene": scene, "pair": pair, "decision": decision, "annotator": annotator, "queue": queue, "session": session}
        answer = _or_error(review.answer(self.reviews, {**given, "seconds": seconds, "id": id or None}))
        return {"label": answer["label"], "id": answer["id"]}

    def undo(self, label: int, annotator: str = "") -> dict[str, Any]:
        """Take back a label of one's own, by its number; returns the number of the row that undoes it."""
        number = read_whole(label, "label", least=1, most=2**53)
        answer = _or_error(review.undo(self.reviews, {"label": number, "annotator": annotator}))
        return {"label": answer["label"]}

    def group(self, scene: str, evidence: str = "geometry", model: str = "") -> dict[str, Any]:
        """Start to group a scene's masks by "geometry", "vlm" or "both"; returns where it stands, as `groups` does."""
        scene = read_text(scene, "scene")
        chosen = cast("Evidence", read_choice(evidence, "evidence", get_args(Evidence)))
        self.groupings.start(scene, chosen, model=read_text(model, "model") or None)
        return self.groups(scene)

    def groups(self, scene: str) -> dict[str, Any]:
        """Return where the grouping of a scene stands ("none" before the first), and for each mask its view, number and group."""
        scene = read_text(scene, "scene")
        self.bench.find_listed(scene)
        state = self.groupings.state(scene)
        if state is None:
            return {"status": "none", "message": "", "masks": []}
        masks: list[dict[str, Any]] = []
        if state.result is not None:
            # One look at each view: a mask's number is its place in it.
            numbers = {
                view: {mask: rank for rank, mask in enumerate(self.bench.masks(scene, view), 1)} for view in self.bench.views(scene)
            }
            masks = [
                {"view": key.view, "number": numbers[key.view][key.mask], "group": state.result.group_of(key)}
                for key in state.result.run.table.row_of
                if key.mask in numbers.get(key.view, {})
            ]
        return {"status": state.status, "message": state.message, "masks": masks}

    def export(self, scene: str, format: str = ALL) -> dict[str, Any]:
        """Start to make a zip of a scene's groups, in one format or "all" that it gives; returns what `exported` does."""
        scene = read_text(scene, "scene")
        read_choice(format, "format", (ALL, *FORMATS))
        self.exports.start(scene, find_format(format), Path(get_upload_folder()))
        return self.exported(scene)

    def exported(self, scene: str) -> dict[str, Any]:
        """Return where the export of a scene stands, and once it is done the address of the zip, relative to the app's."""
        state = self.exports.state(read_text(scene, "scene"))
        if state is None:
            return {"status": "none", "share": 0.0, "message": "", "download": ""}
        download = "" if state.path is None else "gradio_api/file=" + quote(str(state.path))
        return {"status": state.status, "share": state.share, "message": state.message, "download": download}

    def train(
        self, scenes: list[str], model: str = "", evaluate_on: str = "", pairs: int = 0, epochs: int = 0, name: str = ""
    ) -> dict[str, Any]:
        """Start a training on scenes and corrections; 0 and "" mean what the Retrain page proposes. Returns name and status."""
        chosen = read_text(model, "model") or self.bench.judges.default
        values = default_values(self.bench, self.registry, model=chosen, scenes=read_names(scenes, "scenes"))
        values |= {"judged": read_text(evaluate_on, "evaluate_on")} if evaluate_on else {}
        values |= {key: read_whole(given, key, least=1) for key, given in (("pairs", pairs), ("epochs", epochs)) if given}
        config = read_form(list(values.values()), self.bench, self.registry)
        run = self.registry.start(config, self.bench.labels.settled(), name=read_text(name, "name").strip() or None)
        return {"name": run.name, "status": run.status}

    def runs(self) -> list[dict[str, Any]]:
        """List the trainings, the newest first: name, status, note, and whether it is the tuned model now."""
        return [
            {"name": run.name, "status": run.status, "note": run.note or "", "promoted": run.name == self.registry.tuned()}
            for run in self.registry.list()
        ]

    def compare(
        self, scenes: list[str], a: str, b: str, pairs: int = 300, negatives: str = "hard", seed: int = 0, grouping: bool = False
    ) -> dict[str, Any]:
        """Start to compare two models on the same pairs of some scenes; returns its key, for `comparisons`."""
        settings = settings_of(
            read_names(scenes, "scenes"),
            read_text(a, "a"),
            read_text(b, "b"),
            read_whole(pairs, "pairs", least=2),
            read_choice(negatives, "negatives", NEGATIVES),
            read_whole(seed, "seed", least=0),
            bool(grouping),
        )
        return {"key": self.comparisons.start(settings)}

    def comparisons_status(self) -> list[dict[str, Any]]:
        """List the comparisons, the newest first: key, name, status, note, and the address of the report of those that are done."""
        return [
            {
                "key": one.key,
                "name": one.name,
                "status": one.status,
                "note": one.note,
                "report": f"maskgroup/report/{quote(one.key, safe='')}" if one.status == "done" else "",
            }
            for one in self.comparisons.entries()
        ]


def endpoints(api: Api) -> dict[str, Callable[..., Any]]:
    """Return the functions by the names that programs call."""
    named = {
        "scenes": api.scenes,
        "scene": api.scene,
        "import": api.import_scene,
        "imports": api.imports_status,
        "models": api.models,
        "judge": api.judge,
        "queue_next": api.queue_next,
        "label": api.label,
        "undo": api.undo,
        "group": api.group,
        "groups": api.groups,
        "export": api.export,
        "exported": api.exported,
        "train": api.train,
        "runs": api.runs,
        "compare": api.compare,
        "comparisons": api.comparisons_status,
    }
    return {f"v1_{name}": function for name, function in named.items()}


def _or_error(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what the Review page would get; its sentence, where there is one, is raised."""
    if "error" in answer:
        raise MaskgroupError(str(answer["error"]))
    return answer

"""The sentences of the 3D grouping page, as HTML: progress, what a run found, what a correction changed, why masks are together."""

from __future__ import annotations

import time
from collections.abc import Callable

from markupsafe import Markup

from db.runs import Run
from engine.grouping.constraints import ConstraintConflict
from engine.grouping.explanations import explain_group
from engine.grouping.findings import tell_findings
from engine.grouping.graph import Group
from engine.types import MaskKey
from ui.components.templates import render, render_line
from ui.services.group_exports import ExportState
from ui.services.grouping_result import Result, RunState
from ui.services.workbench import Workbench
from ui.view3d.pictures import COLOR_A, COLOR_B

MAX_LINKS = 12
STAGES = ("frames", "photos", "poses", "overlap", "judge", "cut", "3D", "scores")
STAGE_WORDS = {
    "frames": "Reading views and masks",
    "photos": "Reading where the photos were taken",
    "poses": "Checking and repairing poses",
    "overlap": "Following masks into other views",
    "judge": "Asking the judge",
    "cut": "Forming groups",
    "3D": "Carrying groups over to the room",
    "scores": "Scoring against ground truth",
}
EVIDENCE_WORDS = {"geometry": "geometry", "both": "geometry and the judge", "vlm": "the judge"}


def show_progress(state: RunState | None) -> str:
    """Return where a run stands, as HTML."""
    if state is None:
        return Markup("<p>Press <b>Run</b> to group all masks of the scene into objects.</p>")
    if not state.is_running:
        return render_line("{% if message %}<p role='status'>{{ message }}</p>{% endif %}", message=state.message)
    progress = state.progress
    if progress is None:
        words = "Opening the kept groups" if state.opens_kept else "Starting"
        return render_line("<p role='status'>{{ words }} ...</p>", words=words)
    stage = STAGES.index(progress.stage)
    done = 100 * (stage + progress.share) / len(STAGES)
    # The first figure is what the bar shows: the share of all stages, not of this one.
    words = [f"{done:.0f}% of all", f"step {stage + 1} of {len(STAGES)}", f"{progress.seconds:.0f} s so far"]
    elapsed = time.monotonic() - state.stage_started
    if 0.05 < progress.share < 1 and elapsed > 1:
        words.append(f"about {elapsed * (1 / progress.share - 1):.0f} s left in this stage")
    if progress.asked:
        words.append(f"{progress.asked} pairs asked")
    return render("pages/grouping/progress.html.j2", stage=STAGE_WORDS[progress.stage], words=words, done=done)


def show_summary(result: Result, *, name: Callable[[MaskKey], str] = str) -> str:
    """Return what the run found and what the latest correction changed, as HTML.

    Args:
        result: The groups.
        name: How masks are called on the page: their ids may give the truth away.
    """
    run, groups = result.run, result.grouping.groups
    words = [f"ARI {result.ari:.3f}" if result.ari is not None else "no ground truth, so no score"]
    evidence = EVIDENCE_WORDS[run.options.evidence]
    words.append(f"evidence: {evidence}, {run.calls} pairs asked, {sum(run.seconds.values()):.1f} s")
    change, ari = result.last, ""
    if change is not None and change.ari_before is not None and change.ari_after is not None:
        ari = f", ARI {change.ari_before:.3f} → {change.ari_after:.3f}"
    return render(
        "pages/grouping/summary.html.j2",
        count=len(groups),
        masks=len(run.table),
        views=len(run.table.views),
        words=words,
        told=None
        if run.findings is None
        else tell_findings(run.findings, run.registration, views=len(run.table.views), masks=len(run.table)),
        change=change,
        ari=ari,
        contradictions=[tell_contradiction(one, name) for one in result.grouping.contradictions[-3:]],
        warnings=run.warnings,
    )


def show_export(state: ExportState | None, *, version: int) -> str:
    """Return where an export stands, as HTML.

    Args:
        state: The export, None where there is none.
        version: Version of the groups that the page shows.
    """
    if state is None:
        return ""
    if state.is_running:
        source = "<p role='status'>{{ words }} … {{ done }}</p>"
        return render_line(source, words=state.words, done=f"{state.share:.0%}")
    if state.path is None:
        return render_line("<p role='status'>{{ message }}</p>", message=state.message)
    source = (
        "<p role='status'>Made at {{ made }}{% if is_old %}, before the groups changed: press Download again for those of now"
        "{% endif %}.{% for note in notes %} {{ note }}{% endfor %}</p>"
    )
    return render_line(source, made=state.made, is_old=state.version != version, notes=state.notes)


def stale_html(labels: int, corrections: int) -> str:
    """Return a sentence on labels and corrections about masks that are not there any more, "" without any."""
    told = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((labels, "label"), (corrections, "correction")) if n]
    if not told:
        return ""
    source = "<p>⚠ Stale: {{ told }} of this scene name masks that are not there now; the groups go without them.</p>"
    return render_line(source, told=" and ".join(told))


def show_groups(bench: Workbench, scene: str, result: Result, group: Group | None, other: Group | None) -> str:
    """Return what is known of the picked groups, as HTML: size, confidence, and the links with their evidence."""
    if group is None:
        return Markup("<p>Click a group in the list, a point of the room, or a mask in a view: its masks light up everywhere.</p>")
    links = explain_group(result.run.graph, result.grouping, group.id, constraints=result.constraints, limit=MAX_LINKS)
    return render(
        "pages/grouping/groups.html.j2",
        colors=(COLOR_A, COLOR_B),
        names=(result.title(group.id), "" if other is None else result.title(other.id)),
        sizes=(count_masks(group), "" if other is None else count_masks(other)),
        confidence=group.confidence,
        proposed_by="" if (given := result.given(group.id)) is None else given.proposed_by,
        links=[(link.joined, bench.mask_name(scene, link.a), bench.mask_name(scene, link.b), link.evidence) for link in links],
    )


def name_kept_run(run: Run) -> str:
    """Return a kept run's line in the list of runs, e.g. "23 Nov 01:02, geometry: 105 groups, ARI 1.000"."""
    summary = {**run.result.get("summary", {}), **run.config.get("now", {})}
    evidence = EVIDENCE_WORDS.get(run.config.get("evidence", ""), "?")
    ari = summary.get("ari")
    score = f", ARI {ari:.3f}" if isinstance(ari, float) else ""
    said = run.config.get("corrections", {}).get("steps", [[]])
    corrected = f", {len(said) - 1} corrections" if len(said) > 1 else ""
    return f"{run.created_at.astimezone():%d %b %H:%M}, {evidence}: {summary.get('groups', '?')} groups{score}{corrected}"


def tell_contradiction(contradiction: ConstraintConflict, name: Callable[[MaskKey], str]) -> str:
    """Return the shortest chain of constraints that cannot hold together, in words."""
    steps = [f"{name(c.a)} and {name(c.b)} are {'the same' if c.together else 'different'}" for c in contradiction.cycle]
    return f"These cannot all be true: {'; '.join(steps)}. The last one was set aside; undo one of them."


def count_masks(group: Group) -> str:
    """Return "1 mask" or "12 masks"."""
    return f"{len(group.masks)} mask{'' if len(group.masks) == 1 else 's'}"

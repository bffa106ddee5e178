"""The People page's handlers: who labelled how much, how far people agree, and the pairs on which they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from db.labels.agreement import Agreement, measure_agreement
from db.labels.audit import Disagreement, find_disagreements
from db.labels.choices import INSTRUCTIONS, MAX_INSTRUCTIONS, OVERLAP_SHARE
from db.labels.store import Label, NewLabel
from engine.errors import LabelError
from engine.types import Decision
from ui.components.pairs import pictures_html
from ui.components.templates import render
from ui.components.typed import annotator_name, row_number
from ui.components.wording import DECISION_WORDS
from ui.services.review_service import ReviewService
from ui.services.workbench import Workbench

PEOPLE_TAB = "people"
PEOPLE_HEADERS = ["person", "labels", "median seconds", "labels a minute", "gold pairs", "agree with gold", "stale"]
BETWEEN_HEADERS = ["person", "and", "pairs of both", "agree", "Cohen's kappa"]


def show_page(service: ReviewService, number: int) -> tuple[list[list[str]], str, list[list[str]], int, str, str]:
    """Return all that the page shows of the labels of all scenes, read once.

    Returns:
        The table of people, Fleiss' kappa in words, the table of every two people, and what `show_disagreement` gives.
    """
    labels = service.bench.labels.current()
    found = measure_agreement(labels)
    tables = people_rows(service.bench, labels, found), agreement_words(found), between_rows(found)
    return *tables, *_show_disagreement(service.bench, labels, number)


def people_rows(bench: Workbench, labels: Sequence[Label], found: Agreement) -> list[list[str]]:
    """Return the table of people, in the order of `PEOPLE_HEADERS`."""
    stale = Counter(label.annotator for label in bench.stale_labels(labels))
    return [
        [
            person.name,
            str(person.labels),
            "-" if person.median_s is None else f"{person.median_s:.1f}",
            "-" if not person.median_s else f"{60 / person.median_s:.1f}",
            str(person.gold),
            "-" if person.gold_share is None else f"{person.gold_share:.0%}",
            str(stale[person.name]),
        ]
        for person in found.people
    ]


def between_rows(found: Agreement) -> list[list[str]]:
    """Return the table of every two people, in the order of `BETWEEN_HEADERS`."""
    rows: list[list[str]] = []
    for both in found.between:
        kappa = "-" if both.kappa is None else f"{both.kappa:.2f}"
        rows.append([both.first, both.second, str(both.pairs), f"{both.agreed / both.pairs:.0%}", kappa])
    return rows


def agreement_words(found: Agreement) -> str:
    """Return Fleiss' kappa in a sentence."""
    if not found.fleiss_pairs:
        return "No pair was labelled by two people yet. Raise the share below, so that some pairs go to everybody."
    if found.fleiss is None:
        return f"On {found.fleiss_pairs} pairs everybody said one and the same: kappa needs some variety."
    return f"Fleiss' kappa is **{found.fleiss:.2f}** over {found.fleiss_pairs} pairs (1 = always agree, 0 = as by chance)."


def overlap_share(service: ReviewService) -> float:
    """Return the share of pairs that go to everybody, in percent."""
    return round(100 * service.choices.number(OVERLAP_SHARE, 0.0))


def set_overlap_share(service: ReviewService, percent: float) -> None:
    """Choose the share of pairs that go to everybody, for everybody.

    Raises:
        LabelError: If it is no percentage.
    """
    if not 0 <= percent <= 100:
        raise LabelError(f"The share is {percent} %, expected 0 to 100.")
    service.choices.set_number(OVERLAP_SHARE, percent / 100)


def instructions(service: ReviewService) -> str:
    """Return what people who label are told."""
    return service.choices.text(INSTRUCTIONS)


def set_instructions(service: ReviewService, text: str) -> None:
    """Say what people who label are told, for everybody.

    Raises:
        LabelError: If the text is too long.
    """
    service.choices.set_text(INSTRUCTIONS, text.strip(), most=MAX_INSTRUCTIONS)


def disagreements(service: ReviewService) -> list[Disagreement]:
    """Return the pairs on which people disagree and that nobody has settled."""
    return find_disagreements(service.bench.labels.current())


def show_disagreement(service: ReviewService, number: int) -> tuple[int, str, str]:
    """Return a disagreement's number (wrapping round), its key, and it as HTML.

    The key names the pair to `settle`. It is the number of one of its labels, as masks' ids may give the truth away.
    """
    return _show_disagreement(service.bench, service.bench.labels.current(), number)


def _show_disagreement(bench: Workbench, labels: Sequence[Label], number: int) -> tuple[int, str, str]:
    listed = find_disagreements(labels)
    if not listed:
        return 0, "", "<p>People agree on every pair that several of them labelled, or a gold label settles it.</p>"
    number %= len(listed)
    found = listed[number]
    told = {label.id: label for label in labels}
    shown = render(
        "pages/people/disagreement.html.j2",
        number=number + 1,
        total=len(listed),
        scene=found.scene,
        pictures=pictures_html(bench, found.scene, found.pair),
        decisions=[(label.annotator, DECISION_WORDS[label.decision]) for label in map(told.__getitem__, found.label_ids)],
    )
    return number, str(found.label_ids[0]), shown


def settle(service: ReviewService, key: str, decision: Decision, *, annotator: str) -> str:
    """Settle the disagreement that a person sees by a gold label; returns what that changed, in words.

    Raises:
        LabelError: If there is nothing to settle, or this pair needs no settling any more.
    """
    listed = disagreements(service)
    number = row_number(key)
    label = None if number is None else service.bench.labels.get(number)
    place = None if label is None else (label.scene, label.pair.canonical())
    found = next((entry for entry in listed if (entry.scene, entry.pair) == place), None)
    if found is None:
        raise LabelError(
            "There is no disagreement to settle." if not listed else "This pair was settled meanwhile; look at the one shown now."
        )
    before = service.bench.labels.settled(found.scene)
    name = annotator_name(annotator)
    service.bench.labels.add(NewLabel(name, found.scene, found.pair, decision, queue="settle", source="people", is_gold=True))
    return service.effect_words(found.scene, before, service.bench.labels.settled(found.scene))

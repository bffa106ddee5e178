"""Holds back what a page asks or is answered, so that they come in an order that otherwise only a slow machine shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page

INSTALL = """(skipped) => {
    const atOnce = window.fetch;
    const held = { count: 0, skipped, most: Infinity };
    const gate = new Promise((go) => { held.release = () => { window.fetch = atOnce; go(); }; });
    window.fetch = async (...asked) => {
        const answer = await atOnce(...asked);
        if (String(asked[0].url ?? asked[0]).includes('queue/join')) {
            if (held.skipped > 0) held.skipped -= 1;
            else if (held.count < held.most) { held.count += 1; await gate; }
        }
        return answer;
    };
    window.heldAnswers = held;
}"""


class HeldAnswers:
    """Calls of a page that the server has got, and whose answers the page does not get yet."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def wait_for_one(self) -> None:
        """Wait until an answer is held, and hold no more: what is asked from now on is answered at once."""
        self._page.wait_for_function("window.heldAnswers.count > 0")
        self._page.evaluate("window.heldAnswers.most = window.heldAnswers.count")

    def release(self) -> None:
        """Hand over what was held."""
        self._page.evaluate("window.heldAnswers.release()")


@contextmanager
def answers_held(page: Page, *, after: int = 0) -> Iterator[HeldAnswers]:
    """Hold back answers to the handlers' calls that the page makes from now on, except for the first `after` of them."""
    page.evaluate(INSTALL, after)
    held = HeldAnswers(page)
    yield held
    held.release()


SEND_LATE = """() => {
    const atOnce = window.fetch;
    const late = { waiting: [], sent: Promise.resolve(), atOnce };
    window.fetch = async (...asked) => {
        if (!String(asked[0].url ?? asked[0]).includes('queue/join')) return atOnce(...asked);
        await new Promise((go) => late.waiting.push(go));
        const answer = late.sent.then(() => atOnce(...asked));
        late.sent = answer.catch(() => {});
        return answer;
    };
    window.lateCalls = late;
}"""


class LateCalls:
    """Calls of a page that the server has not got yet."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def send_one(self) -> None:
        """Send the one that was made first."""
        self._page.wait_for_function("window.lateCalls.waiting.length > 0")
        self._page.evaluate("window.lateCalls.waiting.shift()()")

    def send(self) -> None:
        """Send all, in the order in which they were made."""
        self._page.wait_for_function("window.lateCalls.waiting.length > 0")
        self._page.evaluate("window.lateCalls.waiting.splice(0).forEach((go) => go())")


@contextmanager
def sent_late(page: Page) -> Iterator[LateCalls]:
    """What is clicked within reaches the handlers only when it is sent; what is clicked afterwards reaches them at once."""
    page.evaluate(SEND_LATE)
    late = LateCalls(page)
    yield late
    # A click is told to Gradio in a later turn of the page's loop.
    page.wait_for_function("window.lateCalls.waiting.length > 0")
    page.evaluate("() => { window.fetch = window.lateCalls.atOnce; }")

"""The page and the server's connections: no answer is lost between two streams; an open page does not keep the app alive."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.app_process import WAIT_MS, start_app
from tests.browser.watched_page import watched_page

pytestmark = pytest.mark.browser

HOLD_THE_END = """
(() => {
    // The stream's last message reaches the page only when it is let go: the server has ended the stream by then.
    const atOnce = window.fetch;
    const held = window.heldEnd = { isHolding: false, ends: 0, askedSince: 0 };
    const gate = new Promise((go) => { held.letGo = () => { held.isHolding = false; go(); }; });
    const holdEnd = (stream) => stream.pipeThrough(new TransformStream({
        async transform(bytes, stream) {
            const messages = new TextDecoder().decode(bytes).split(/(?<=\\n\\n)/);
            for (const message of messages) {
                if (held.isHolding && message.includes('close_stream')) { held.ends += 1; await gate; }
                stream.enqueue(new TextEncoder().encode(message));
            }
        },
    }));
    window.fetch = async (...asked) => {
        const answer = await atOnce(...asked), address = String(asked[0].url ?? asked[0]);
        if (address.includes('/queue/join') && held.ends > 0) held.askedSince += 1;
        if (!address.includes('/queue/data')) return answer;
        return new Response(holdEnd(answer.body), { status: answer.status, headers: answer.headers });
    };
})();
"""


def test_what_is_asked_while_the_stream_ends_is_answered(chromium: Browser, app_address: str) -> None:
    page = watched_page(chromium)
    page.add_init_script(HOLD_THE_END)
    page.goto(app_address)
    expect(page.locator("#mg-verdict .mg-headline").first).to_be_visible()
    page.evaluate("window.heldEnd.isHolding = true")
    page.locator("#mg-next").click()
    # The pair has been chosen, and its verdict is asked for while the page believes that it is still listening.
    page.wait_for_function("window.heldEnd.askedSince > 0")
    expect(page.locator("#mg-verdict .mg-headline")).to_have_count(0)
    page.evaluate("window.heldEnd.letGo()")
    expect(page.locator("#mg-verdict .mg-headline").first).to_be_visible()
    assert page.problems == []  # type: ignore[attr-defined]


def test_an_open_page_does_not_keep_the_app_from_stopping(chromium: Browser, tmp_path: Path) -> None:
    process, address = start_app(tmp_path / "labels.db")
    try:
        page = chromium.new_context().new_page()
        page.goto(address)
        expect(page.locator("#mg-verdict .mg-headline").first).to_be_visible()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=WAIT_MS / 1000)
        assert page.locator("#mg-verdict").is_visible()
    finally:
        process.kill()

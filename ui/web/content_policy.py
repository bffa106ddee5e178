"""The headers that every answer carries, and the page's content security policy: what its scripts may load, and from where.

Gradio draws with inline styles and builds functions from text ('unsafe-eval': its event scripts, and Plotly's shaders need that
too). Scripts written into the page run only with the nonce that this one answer has, so markup in a name runs nothing; and no
page can load a picture, font or script from elsewhere or send anything there.
"""

from __future__ import annotations

import re
import secrets

NEVER = "'none'"
SOURCES = {
    "default-src": "'self'",
    "script-src": "'self' 'unsafe-eval'",
    "script-src-attr": NEVER,
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data: blob:",
    "media-src": "'self' data: blob:",
    "connect-src": "'self' data: blob:",
    "worker-src": "'self' blob:",
    "manifest-src": "'self'",
    "frame-src": NEVER,
    "object-src": NEVER,
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'self'",
}
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Permitted-Cross-Domain-Policies": "none",
    "X-DNS-Prefetch-Control": "off",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
HEAD_TAG = re.compile(r"<head(?:\s[^>]*)?>", re.IGNORECASE)
SCRIPT_TAG = re.compile(r"<script(?=[\s>])", re.IGNORECASE)
ELSEWHERE = re.compile(
    r"<script\b[^>]*\bsrc\s*=\s*[\"']?(?:https?:)?//[^>]*>\s*</script\s*>"
    r"|<(?:link|meta)\b[^>]*\b(?:href|content)\s*=\s*[\"']?(?:https?:)?//[^>]*>",
    re.IGNORECASE,
)
"""What Gradio's page names of other machines: previews of its own web site, fonts. Nothing of it is needed."""


def policy(nonce: str | None = None) -> str:
    """Return the value of Content-Security-Policy, for a page with scripts that carry `nonce`."""
    own = {**SOURCES, "script-src": f"{SOURCES['script-src']} 'nonce-{nonce}'"} if nonce else SOURCES
    return "; ".join(f"{name} {value}" for name, value in own.items())


PLAIN_HEADERS = {**SECURITY_HEADERS, "Content-Security-Policy": policy()}
"""Of every answer that is no page with scripts of its own."""


def secure_page(html: str, *, first_script: str = "") -> tuple[str, str]:
    """Return a page of the server's own with a nonce in its scripts and without what it names elsewhere, and its policy.

    The page's data must have every "<" escaped, as Gradio's has: otherwise a name could carry a script in.

    Args:
        html: The page.
        first_script: What runs before all other scripts of it; Gradio's own `head` is put in by one of those, without a nonce.
    """
    nonce = secrets.token_urlsafe(16)
    if first_script:
        html = HEAD_TAG.sub(lambda tag: f"{tag.group()}<script>{first_script}</script>", html, count=1)
    return SCRIPT_TAG.sub(f'<script nonce="{nonce}"', ELSEWHERE.sub("", html)), policy(nonce)

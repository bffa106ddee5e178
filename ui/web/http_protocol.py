"""Speaks HTTP/1.1 as uvicorn does; its own answer to what is no HTTP at all carries the security headers too."""

from __future__ import annotations

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ui.web.content_policy import PLAIN_HEADERS


class GuardedProtocol(H11Protocol):
    """Answers malformed requests itself, before any application sees them."""

    def send_400_response(self, msg: str) -> None:
        """Refuse a malformed request and close the connection."""
        headers = {"Content-Type": "text/plain; charset=utf-8", "Connection": "close", **PLAIN_HEADERS}
        body = msg.encode("ascii", "replace")
        headers["Content-Length"] = str(len(body))
        answer = h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request")
        for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

"""A receiver of webhooks in thirty lines: `SECRET=whsec_… python examples/receiver.py` listens on 9000."""

import os
from http.server import BaseHTTPRequestHandler, HTTPServer

from authy_grpc.client import WebhookError, verify_webhook

SECRET = os.environ["SECRET"]
# Yours is a table with a unique column, written in the transaction of what the event brings about.
seen: set[str] = set()


class Receiver(BaseHTTPRequestHandler):
    """Takes posts."""

    def do_POST(self) -> None:
        """Verify, then do what the event asks for, once."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            post = verify_webhook(SECRET, dict(self.headers), body)
        except WebhookError as error:
            self.send_error(400, error.reason)
            return
        if post.event_id not in seen:
            seen.add(post.event_id)
            print(post.time, post.type, post.event.WhichOneof("subject"), flush=True)
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", 9000), Receiver).serve_forever()

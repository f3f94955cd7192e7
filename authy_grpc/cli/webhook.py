"""`webhook listen`: a receiver for development, which prints and verifies what is posted to it."""

import json
import signal
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated

import typer
from rich.text import Text

from authy_grpc import listening
from authy_grpc.cli.failure import Failure
from authy_grpc.cli.options import LOCAL_ORIGIN, LOCAL_SERVER, Origin, Server

app = typer.Typer(help="Webhooks, for development.", no_args_is_help=True)

Key = Annotated[
    str,
    typer.Option(
        "--key",
        envvar="AUTHY_API_KEY",
        help="A site's API key of scope manage.",
        prompt="API key of scope manage (AUTHY_API_KEY)",
        hide_input=True,
    ),
]
_LARGEST = 1 << 20


@app.command()
def listen(
    key: Key,
    at: Annotated[str, typer.Option("--listen", help="HOST:PORT on this machine.")] = "127.0.0.1:9000",
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Such as approval.*, several times; all where none is.")
    ] = None,
    server: Server = LOCAL_SERVER,
    origin: Origin = LOCAL_ORIGIN,
) -> None:
    """Make a webhook to this machine, and print what arrives until Ctrl-C. The service runs with --dev."""
    from authy_grpc.cli import show
    from authy_grpc.cli.reaching import explained
    from authy_grpc.client import Client
    from authy_grpc.domain.ids import is_secret
    from authy_grpc.v1.webhook_pb2 import CreateWebhookRequest, DeleteWebhookRequest

    if not is_secret("ak", key):
        raise Failure(
            "This is no API key: one has `ak_` and 52 characters.",
            "Set AUTHY_API_KEY to what `authy-grpc api-key create` has shown.",
        )
    receiver, url = _bind(at)
    with explained(server), Client(server, key) as client:
        made = client.webhooks.CreateWebhook(CreateWebhookRequest(url=url, types=types or ()))
        receiver.secret = made.secret
        name = made.webhook.webhook_id
        show.console.print(f"Made [bold]{name}[/]: what happens is posted to {url} and verified here.")
        show.console.print("A test post, over REST (or WebhookService/TestWebhook over gRPC):")
        show.console.print(
            Text(
                f'  curl -X POST -H "Authorization: Bearer $AUTHY_API_KEY" {origin}/v1/webhooks/{name}:test',
                style="cyan",
            )
        )
        show.console.print("Ctrl-C, or `kill` where it is in the background, removes it.\n")
        # A shell has jobs in the background ignore Ctrl-C; `kill` has to remove the webhook, too.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            with suppress(KeyboardInterrupt):
                receiver.serve_forever()
        finally:
            receiver.server_close()
            client.webhooks.DeleteWebhook(DeleteWebhookRequest(webhook_id=name))
    show.console.print(f"Removed {name}.")


class _Receiver(ThreadingHTTPServer):
    """Takes posts."""

    secret = ""


class _Posted(BaseHTTPRequestHandler):
    """One post: verified, printed and answered."""

    server: _Receiver

    def do_POST(self) -> None:
        """Verify and print it."""
        from authy_grpc.cli import show
        from authy_grpc.client import WebhookError, verify_webhook

        body = self.rfile.read(min(int(self.headers.get("content-length", 0)), _LARGEST))
        try:
            post = verify_webhook(self.server.secret, dict(self.headers), body)
        except WebhookError as error:
            show.console.print(Text(f"refused: {error}", style="red"))
            self.send_error(400, error.reason)
            return
        self.send_response(204)
        self.end_headers()
        show.console.print(Text.assemble(("verified ", "green"), (post.type, "bold"), f"  {post.event_id}"))
        show.as_json(json.loads(body))

    def log_message(self, format: str, *args: object) -> None:
        """What arrives is printed already."""


def _bind(at: str) -> tuple[_Receiver, str]:
    """Listen; answers the receiver and its URL."""
    try:
        place = listening.parse("--listen", at)
        receiver = _Receiver((place.host, place.port), _Posted)
    except OSError as error:
        raise Failure(f"Cannot listen on {at}: {error}.", "Give another --listen HOST:PORT.") from error
    return receiver, f"http://{replace(place, port=receiver.server_address[1])}/"

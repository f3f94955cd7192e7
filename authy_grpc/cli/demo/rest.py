"""The demo's last two steps: the same over REST, and a webhook that is received and verified."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpcore2

from authy_grpc.cli.demo.listening import listening
from authy_grpc.cli.demo.report import Report
from authy_grpc.cli.demo.stage import Site, Stage
from authy_grpc.client import WebhookError, verify_webhook

USER = "orchard-7"
_PATIENCE = 15.0
_STATE = "ENROLLMENT_STATE_"


class Rest:
    """A site that speaks REST alone.

    Args:
        pool: makes its connections.
        origin: of the gateway.
        site: whose API key it has.
        report: tells what it calls.
    """

    def __init__(self, pool: httpcore2.AsyncConnectionPool, origin: str, site: Site, report: Report) -> None:
        self._pool = pool
        self._origin = origin
        self._headers: dict[bytes | str, bytes | str] = {
            "Authorization": f"Bearer {site.api_key}",
            "Content-Type": "application/json",
        }
        self._report = report

    async def call(self, verb: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Calls, and tells how `curl` would; answers the JSON."""
        sent = None if body is None else json.dumps(body)
        shown = f" -d '{sent}'" if sent else ""
        self._report.say(("curl ", "bold"), f"-X {verb} …{path}{shown}")
        answer = await self._pool.request(
            verb, self._origin + path, headers=self._headers, content=sent.encode() if sent else None
        )
        return json.loads(answer.content)

    async def watch(self, path: str, after: str = "") -> AsyncIterator[tuple[str, Any]]:
        """Reads a stream of server-sent events to its end: the id of each, and its message."""
        headers = self._headers | ({"Last-Event-ID": after} if after else {})
        async with self._pool.stream("GET", self._origin + path, headers=headers) as answer:
            text = ""
            async for chunk in answer.aiter_stream():
                text += chunk.decode()
                *blocks, text = text.split("\n\n")
                for block in blocks:
                    fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
                    if "id" in fields:
                        yield fields["id"], json.loads(fields["data"])


@asynccontextmanager
async def speaking(stage: Stage, site: Site, report: Report) -> AsyncIterator[Rest]:
    """A site that calls the gateway."""
    async with httpcore2.AsyncConnectionPool() as pool:
        yield Rest(pool, stage.http, site, report)


async def enroll(stage: Stage, site: Site, report: Report) -> None:
    """Tells an enrollment over REST: a call, a stream, the same stream resumed, a code.

    Args:
        stage: where it plays.
        site: that enrolls.
        report: tells it.
    """
    async with speaking(stage, site, report) as rest, asyncio.timeout(_PATIENCE):
        made = await rest.call("POST", "/v1/enrollments", {"customUserId": USER})
        path = f"/v1/enrollments/{made['enrollment']['enrollmentId']}:watch"
        report.say(("curl ", "bold"), f"-N …{path}")
        watched: list[tuple[str, str]] = []
        async for number, told in rest.watch(path):
            state = told["enrollment"]["state"].removeprefix(_STATE)
            report.say(f"  id: {number:<3} ", (state, "bold"))
            watched.append((number, state))
            if state == "PENDING":
                await stage.phone.accept(await stage.phone.open(made["qr"]["uri"]))
        states = [state for _, state in watched]
        report.check(
            "the stream told PENDING, SCANNED, COMPLETED, and ended",
            states == ["PENDING", "SCANNED", "COMPLETED"],
            states,
        )
        resumed = [[number async for number, _ in rest.watch(path, after=after)] for after, _ in watched]
        last = watched[-1][0]
        report.check(
            "resumed by Last-Event-ID it tells where things stand, and nothing twice",
            resumed == [[last], [last], []],
            resumed,
        )
        site.authy_id = told["enrollment"]["authyId"]
        linked = next(each for each in await stage.phone.sites() if each.name == site.name)
        code = await stage.phone.code(linked)
        verified = await rest.call("POST", f"/v1/users/{site.authy_id}:verifyCode", {"code": code})
        report.check(
            f"the soft token {code} is ACCEPTED", verified["result"] == "CODE_RESULT_ACCEPTED", verified
        )
        refused = await rest.call("GET", "/v1/users/1234567")
        reason = refused["details"][0]["reason"]
        report.check("of a user that it does not have it learns NOT_FOUND", reason == "NOT_FOUND", reason)


class _Receiver:
    """Takes posts, and answers each with 204."""

    def __init__(self) -> None:
        self.posts: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = dict(_pairs(head))
                body = await reader.readexactly(int(headers["content-length"]))
                self.posts.put_nowait((headers, body))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return


def _pairs(head: str) -> list[tuple[str, str]]:
    lines = [line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line]
    return [(name.lower(), value) for name, value in lines]


async def receive(stage: Stage, site: Site, report: Report) -> None:
    """Tells a webhook: made, posted to, verified, and a post that was tampered with refused.

    Args:
        stage: where it plays.
        site: whose webhook it is.
        report: tells it.
    """
    receiver = _Receiver()
    async with (
        listening(receiver.serve) as port,
        speaking(stage, site, report) as rest,
        asyncio.timeout(_PATIENCE),
    ):
        url = f"http://127.0.0.1:{port}/hook"
        made = await rest.call("POST", "/v1/webhooks", {"url": url, "types": ["code.*"]})
        name, secret = made["webhook"]["webhookId"], made["secret"]
        report.check(f"{name} posts code.* to {url}", secret.startswith("whsec_"))
        await rest.call("POST", f"/v1/webhooks/{name}:test", {})
        headers, body = await receiver.posts.get()
        post = verify_webhook(secret, headers, body)
        report.check(f"a post arrives, signed: {post.type}", post.type == "webhook.test", post.type)
        await rest.call("POST", f"/v1/users/{site.authy_id}:verifyCode", {"code": "000000"})
        headers, body = await receiver.posts.get()
        post = verify_webhook(secret, headers, body)
        listed = await rest.call("GET", "/v1/events?cursor=earliest&types=code.*")
        report.check(
            f"what happens is posted as the feed has it: {post.type}",
            json.loads(body)["data"] == listed["events"][-1],
            listed["events"][-1],
        )
        report.check("one byte changed, it does not verify", _refuses(secret, headers, body))
        await rest.call("DELETE", f"/v1/webhooks/{name}")


def _refuses(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        verify_webhook(secret, headers, body.replace(b"code", b"c0de", 1))
    except WebhookError:
        return True
    return False

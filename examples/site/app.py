"""The shop's pages, in the order of the story: sign up, switch on, log in, pay, watch, switch off."""

import asyncio
import hmac
import json
import logging
import os
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, closing, suppress
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from werkzeug.security import check_password_hash, generate_password_hash

from authy_grpc import client as authy
from authy_grpc.client.browser import HEADERS, approval_answer, enrollment_answer, last_revision
from authy_grpc.client.browser.starlette import Events, files
from authy_grpc.v1 import approval_pb2, enrollment_pb2, user_pb2, verification_pb2
from authy_grpc.v1.event_pb2 import Event
from examples.site.store import Row, Store

HERE = Path(__file__).parent
BOOKS = json.loads((HERE / "books.json").read_text())
PAGE = {
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'",
}


# What the service refuses, and elements have a word for.
REFUSED: Mapping[type, str] = {
    authy.FactorUnavailable: "frozen",
    authy.PushFrozen: "frozen",
    authy.RateLimited: "limited",
    authy.UserLocked: "locked",
}


class Redirect(Exception):
    """Ends a request: go elsewhere, on this site."""


class Shop:
    site: authy.AsyncClient

    def __init__(self, given: Mapping[str, str], now: Callable[[], datetime]) -> None:
        data = Path(given.get("NORTHWIND_DATA", ".dev/northwind"))
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.given, self.now, self.store = given, now, Store(data / "shop.db")
        self.origin = given.get("NORTHWIND_ORIGIN", "http://127.0.0.1:8090")
        self.pages = Jinja2Templates(HERE / "templates")
        self.nobody = generate_password_hash(secrets.token_hex())

    # Sign up, and log in with a password.

    async def home(self, request: Request) -> Response:
        user = self.logged_in(request)
        sql = "SELECT detail FROM proofs WHERE user_id = ? AND purpose = 'pay' AND used"
        bought = {row["detail"] for row in self.store.all(sql, user and user["id"])}
        return self.page(request, "home.html", books=BOOKS, bought=bought)

    async def sign_up(self, request: Request) -> Response:
        if request.method == "GET":
            return self.page(request, "sign_up.html")
        form = await self.form(request)
        self.limit(request, "sign up", 20)
        name, password = form.get("name", "").strip(), form.get("password", "")
        if not (0 < len(name) <= 40 and 8 <= len(password) <= 200):
            return self.say(request, "/signup", "A name, and a password of 8 characters or more.")
        user_id, hashed = secrets.token_urlsafe(16), await run_in_threadpool(generate_password_hash, password)
        sql = "INSERT OR IGNORE INTO users (id, name, password) VALUES (?, ?, ?)"
        if not self.store.do(sql, user_id, name, hashed):
            return self.say(request, "/signup", "That name is taken.")
        return self.enter(request, user_id, "/security")

    async def log_in(self, request: Request) -> Response:
        if request.method == "GET":
            return self.page(request, "log_in.html")
        form = await self.form(request)
        name, password = form.get("name", "").strip(), form.get("password", "")
        self.limit(request, "log in", 100)
        self.limit(request, "name", 10, name.lower())
        user = self.store.one("SELECT * FROM users WHERE name = ?", name)
        # A name that nobody has takes as long.
        hashed = user["password"] if user else self.nobody
        if not await run_in_threadpool(check_password_hash, hashed, password):
            return self.say(request, "/login", "Name and password do not match.")
        if user["authy_id"]:
            return self.prove(request, user, "log in", "Log in to Northwind Books?")
        return self.enter(request, user["id"], "/")

    async def log_out(self, request: Request) -> Response:
        await self.form(request)
        self.leave(request)
        return RedirectResponse("/", 303)

    # Switch the second factor on.

    async def security(self, request: Request) -> Response:
        user = self.user(request)
        proof = self.store.one("SELECT * FROM proofs WHERE id = ?", user["how"])
        facts = json.loads(proof["facts"]) if proof else {}
        keys = [key for key in self.store.keys(user["authy_id"]) if not key.HasField("revoke_time")]
        events = self.happened(user, 0)
        return self.page(request, "security.html", proof=proof, facts=facts, keys=keys, events=events)

    async def start(self, request: Request) -> Response:
        user, form = self.user(request), await self.form(request)
        if user["authy_id"]:
            raise Redirect("/security")
        await self.enroll(user, enrollment_pb2.ENROLLMENT_METHOD_GENERIC_TOTP if "other" in form else 0)
        return RedirectResponse("/security/enroll", 303)

    async def enroll(self, user: Row, method: Any) -> None:
        """Make an enrollment. Its link is told once: kept for a reload."""
        asked = enrollment_pb2.CreateEnrollmentRequest(custom_user_id=user["id"], method=method)
        # Without it, whoever scans first is enrolled, and not whoever sits here.
        asked.require_code = True
        asked.qr.format = enrollment_pb2.QR_CODE_FORMAT_SVG
        made = await self.site.enrollments.CreateEnrollment(asked)
        row = (user["id"], made.enrollment.enrollment_id, method, made.qr.uri, made.qr.image)
        self.store.do("INSERT OR REPLACE INTO enrollments VALUES (?, ?, ?, ?, ?)", *row)

    async def enrollment(self, request: Request) -> tuple[enrollment_pb2.Enrollment, Row]:
        """The last enrollment of who is logged in, as it stands, and what is kept of it."""
        kept = self.store.one("SELECT * FROM enrollments WHERE user_id = ?", self.user(request)["id"])
        if kept is None:
            raise Redirect("/security")
        asked = enrollment_pb2.GetEnrollmentRequest(enrollment_id=kept["id"])
        return (await self.site.enrollments.GetEnrollment(asked)).enrollment, kept

    async def enroll_page(self, request: Request) -> Response:
        """The page with `<authy-enroll>`; without script it shows the state of when it was loaded."""
        found, kept = await self.enrollment(request)
        answer = enrollment_answer(found, events="", link=kept["link"], next=self.keep(found))
        if "next" in answer:
            return RedirectResponse(answer["next"], 303)
        return self.page(request, "enroll.html", answer=answer)

    async def enroll_element(self, request: Request) -> Response:
        """What `<authy-enroll>` asks for: what there is, a new one, or an end."""
        body, (_, kept) = await self.form(request), await self.enrollment(request)
        if request.method == "DELETE":
            with suppress(authy.WrongState):
                ended = enrollment_pb2.CancelEnrollmentRequest(enrollment_id=kept["id"])
                await self.site.enrollments.CancelEnrollment(ended)
        elif body.get("again"):
            await self.enroll(self.user(request), kept["method"])
        found, kept = await self.enrollment(request)
        told = {"link": kept["link"], "image": f"/security/enrollment/qr.svg?{kept['id']}"}
        events = "/security/enrollment/events"
        return JSONResponse(enrollment_answer(found, events=events, next=self.keep(found), **told))

    async def qr(self, request: Request) -> Response:
        _, kept = await self.enrollment(request)
        return Response(kept["image"], 200, PAGE, "image/svg+xml")

    async def enroll_events(self, request: Request) -> Response:
        """The states of the enrollment; what it brings is kept before the browser is told."""
        _, kept = await self.enrollment(request)
        return Events(request, self.site.watch_enrollment, kept["id"], self.keep)

    async def confirm(self, request: Request) -> Response:
        """The first code, by the element or by a form: whoever has scanned is whoever sits here."""
        body, (_, kept) = await self.form(request), await self.enrollment(request)
        code = body.get("code") or "-"
        asked = enrollment_pb2.ConfirmEnrollmentRequest(enrollment_id=kept["id"], code=code)
        try:
            found = (await self.site.enrollments.ConfirmEnrollment(asked)).enrollment
            told = {"state": "completed", "next": self.keep(found)}
        except (authy.CodeRejected, authy.WrongState):
            told = {"error": "wrong"}
        if is_element(request):
            return JSONResponse(told)
        words = "" if "next" in told else "That is not the code."
        return self.say(request, told.get("next", "/security/enroll"), words)

    def keep(self, made: enrollment_pb2.Enrollment) -> str:
        """Keep what a completed enrollment brings; where to go then. Stream, code and webhook all say it."""
        if not made.authy_id:
            return ""
        # Once: it is told for ever, also when the second factor has been switched off or a key revoked since.
        if self.store.do("INSERT OR IGNORE INTO kept VALUES (?)", made.enrollment_id):
            self.store.do("UPDATE users SET authy_id = ? WHERE id = ?", made.authy_id, made.custom_user_id)
            self.store.learn(made.authy_id, made.keys)
        return "/security/codes"

    async def backup_codes(self, request: Request) -> Response:
        """Ten backup codes, shown once. Others than the first take a second factor of just now."""
        user = self.user(request)
        if request.method == "GET" or not user["authy_id"]:
            return self.page(request, "codes.html")
        await self.form(request)
        if user["backup_codes"] and not self.fresh(user, "new codes"):
            return self.prove(request, user, "new codes", "Make new backup codes at Northwind Books?")
        asked = verification_pb2.CreateBackupCodesRequest(authy_id=user["authy_id"])
        made = await self.site.verification.CreateBackupCodes(asked)
        self.store.do("UPDATE users SET backup_codes = ? WHERE id = ?", len(made.codes), user["id"])
        self.store.do("UPDATE proofs SET purpose = 'done' WHERE id = ?", user["how"])
        return self.page(request, "codes.html", codes=made.codes)

    # The second factor: to log in, to pay, to change it.

    def prove(self, request: Request, user: Row, purpose: str, message: str, detail: str = "") -> Response:
        """Ask for it. What is asked is known to this browser's session alone, and waits for five minutes."""
        request.session["proof"] = proof_id = secrets.token_urlsafe(16)
        sql = "INSERT INTO proofs (id, user_id, purpose, message, detail, begun) VALUES (?, ?, ?, ?, ?, ?)"
        self.store.do(sql, proof_id, user["id"], purpose, message, detail, time.time())
        return RedirectResponse("/second", 303)

    def pending(self, request: Request) -> tuple[Row, Row]:
        proof = self.store.proof(request.session.get("proof", ""), used=False)
        user = proof and self.store.one("SELECT * FROM users WHERE id = ?", proof["user_id"])
        if not user or not user["authy_id"]:
            raise Redirect("/login")
        return proof, user

    async def second(self, request: Request) -> Response:
        proof, user = self.pending(request)
        found = await self.site.users.GetUser(user_pb2.GetUserRequest(authy_id=user["authy_id"]))
        push, text = (way in found.user.factors for way in (user_pb2.FACTOR_PUSH, user_pb2.FACTOR_SMS))
        return self.page(request, "second.html", proof=proof, push=push, text=text)

    async def ask(self, proof: Row, user: Row) -> approval_pb2.Approval:
        """Put the question, and keep it: the receipt is compared with it."""
        asked = approval_pb2.CreateApprovalRequest(authy_id=user["authy_id"], message=proof["message"])
        if proof["detail"]:
            asked.details.add(label="Book", value=proof["detail"])
        made = (await self.site.approvals.CreateApproval(asked)).approval
        authy.check_asked(asked, made, self.now())
        row = (made.approval_id, made.SerializeToString(), proof["id"])
        self.store.do("UPDATE proofs SET approval_id = ?, asked = ? WHERE id = ?", *row)
        return made

    async def approval_element(self, request: Request) -> Response:
        """What `<authy-approval>` asks for. A reload goes on with the question that there is."""
        body, (proof, user) = await self.form(request), self.pending(request)
        if request.method == "DELETE":
            with suppress(authy.WrongState):
                ended = approval_pb2.CancelApprovalRequest(approval_id=proof["approval_id"])
                await self.site.approvals.CancelApproval(ended)
        if request.method == "POST" and (body.get("again") or not proof["approval_id"]):
            found = await self.ask(proof, user)
        else:
            asked = approval_pb2.GetApprovalRequest(approval_id=proof["approval_id"])
            found = (await self.site.approvals.GetApproval(asked)).approval
        next = self.check(proof, user, found)
        return JSONResponse(approval_answer(found, events="/second/events", next=next))

    async def approval_events(self, request: Request) -> Response:
        """The states of the approval; the receipt is checked before the browser is told."""
        proof, user = self.pending(request)
        if not proof["approval_id"]:
            raise Redirect("/second")
        watch, approval_id = self.site.watch_approval, proof["approval_id"]
        return Events(request, watch, approval_id, lambda found: self.check(proof, user, found))

    def check(self, proof: Row, user: Row, found: approval_pb2.Approval) -> str:
        """Check the signature of an approval, and keep what was checked; where to go then."""
        if found.state != approval_pb2.APPROVAL_STATE_APPROVED:
            return ""
        asked, keys = approval_pb2.Approval.FromString(proof["asked"]), self.store.keys(user["authy_id"])
        holds = authy.verify_receipt(found, asked, self.origin, keys)
        since = next(key.create_time for key in keys if key.kid == holds.kid)
        facts = {"number": asked.match_number, "kid": holds.kid, "origin": self.origin}
        facts |= {"signed": date(holds.time), "since": date(since.ToDatetime())}
        self.store.do("UPDATE proofs SET facts = ? WHERE id = ?", json.dumps(facts), proof["id"])
        return "/second/done"

    async def approved(self, request: Request) -> Response:
        """Where the browser goes once a receipt holds: a stream can set no cookie."""
        proof, _ = self.pending(request)
        return self.finish(request, proof) if proof["facts"] else RedirectResponse("/second", 303)

    async def code(self, request: Request) -> Response:
        """A code of an app, of a text, or a backup code: the service knows which it is."""
        form, (proof, user) = await self.form(request), self.pending(request)
        code = form.get("code") or "-"
        asked = verification_pb2.VerifyCodeRequest(authy_id=user["authy_id"], code=code, action="second")
        try:
            found = await self.site.verification.VerifyCode(asked)
        except (authy.UserLocked, authy.RateLimited):
            return self.say(request, "/second", "Too many wrong codes. Wait a while, or use a backup code.")
        if found.result == verification_pb2.CODE_RESULT_REPLAYED:
            return self.say(request, "/second", "That code was used before. Wait for the next one.")
        if found.result != verification_pb2.CODE_RESULT_ACCEPTED:
            left = found.attempts_remaining
            return self.say(request, "/second", f"That is not the code. Tries left: {left}.")
        facts = {"code": user_pb2.Factor.Name(found.factor).removeprefix("FACTOR_").replace("_", " ").lower()}
        self.store.do("UPDATE proofs SET facts = ? WHERE id = ?", json.dumps(facts), proof["id"])
        return self.finish(request, proof)

    async def text(self, request: Request) -> Response:
        """Text me: to a number that the shop does not know, although the phone could make a code."""
        _, (_, user) = await self.form(request), self.pending(request)
        asked = verification_pb2.SendCodeRequest(authy_id=user["authy_id"], force=True, action="second")
        try:
            await self.site.verification.SendCode(asked)
        except (authy.FactorUnavailable, authy.RateLimited):
            return self.say(request, "/second", "No text can be sent now. Use another way.")
        return self.say(request, "/second", "A code is on its way to your phone.")

    def finish(self, request: Request, proof: Row) -> Response:
        """The second factor holds, and is used: once."""
        if not self.store.do("UPDATE proofs SET used = 1 WHERE id = ? AND NOT used", proof["id"]):
            raise Redirect("/login")
        ends = {"pay": "/?paid", "switch off": "/security/off", "new codes": "/security/codes"}
        return self.enter(request, proof["user_id"], ends.get(proof["purpose"], "/security"), proof["id"])

    def fresh(self, user: Row, purpose: str) -> bool:
        proof = self.store.proof(user["how"], used=True)
        return bool(proof and proof["purpose"] == purpose)

    async def buy(self, request: Request) -> Response:
        """Pay: what is paid is signed on the phone. While the service is away, nobody pays."""
        user, _ = self.user(request), await self.form(request)
        if not user["authy_id"]:
            return self.say(request, "/security", "Switch on the second factor first: it signs what you pay.")
        if request.path_params["book"] not in BOOKS:
            raise HTTPException(404)
        title, _, price = BOOKS[request.path_params["book"]]
        return self.prove(request, user, "pay", f"Pay {price}.00 EUR to Northwind Books?", title)

    # What happens to the second factor: by stream and by webhook.

    async def hook(self, request: Request) -> Response:
        """The webhook: verified as it came, before anything parses it."""
        secret, body = self.given.get("HOOK_SECRET", ""), await request.body()
        try:
            self.take(authy.verify_webhook(secret, request.headers, body).event)
        except (authy.WebhookError, ValueError):
            return Response(status_code=400)
        return Response(status_code=204)

    async def follow(self) -> None:
        while True:
            try:
                async with aclosing(self.site.watch_events(self.store.setting("cursor"))) as feed:
                    async for event, cursor in feed:
                        self.take(event)
                        self.store.setting("cursor", cursor)
            except authy.CursorExpired:
                self.store.setting("cursor", "earliest")
            except authy.AuthyError:
                await asyncio.sleep(5)

    def take(self, event: Event) -> None:
        """Do what an event asks for, once, whichever way it comes."""
        authy_id = getattr(getattr(event, event.WhichOneof("subject") or "user"), "authy_id", "")
        sql = "INSERT OR IGNORE INTO events (id, authy_id, type, time) VALUES (?, ?, ?, ?)"
        with self.store.db:
            self.store.do("BEGIN IMMEDIATE")
            if not self.store.do(sql, event.event_id, authy_id, event.type, event.create_time.seconds):
                return
            if event.type == "enrollment.completed":
                self.keep(event.enrollment)
            elif event.type in ("user.device_added", "user.device_removed"):
                self.store.learn(authy_id, [event.user.key])
            elif event.type == "user.deleted":
                self.store.forget(authy_id)

    def happened(self, user: Row, after: int) -> list[Row]:
        sql = "SELECT * FROM events WHERE authy_id = ? AND number > ? ORDER BY number DESC LIMIT 20"
        return self.store.all(sql, user["authy_id"], after)[::-1]

    async def events(self, request: Request) -> Response:
        """The security page's own stream, until its session ends."""
        lines = self.lines(request, self.user(request))
        return StreamingResponse(lines, headers=HEADERS, media_type="text/event-stream")

    async def lines(self, request: Request, user: Row) -> AsyncGenerator[str, None]:
        """Type and time of each event, and nothing else."""
        number = last_revision(request.headers.get("last-event-id"))
        while self.logged_in(request):
            for row in self.happened(user, number):
                number = row["number"]
                yield f"id: {number}\ndata: {json.dumps({'type': row['type'], 'time': row['time']})}\n\n"
            yield ":\n\n"
            await asyncio.sleep(1)

    # What the shop knows, and switching off.

    async def about(self, request: Request) -> Response:
        user = self.user(request)
        sql = "SELECT purpose, message, detail, begun, used FROM proofs WHERE user_id = ?"
        tables = {
            "users": [dict(user) | {"password": "(a salted scrypt hash)"}],
            "keys": [json_format.MessageToDict(key) for key in self.store.keys(user["authy_id"])],
            "proofs": [dict(row) for row in self.store.all(sql, user["id"])],
        }
        known = json.dumps(tables, indent=2, ensure_ascii=False)
        return self.page(request, "about.html", known=known)

    async def off(self, request: Request) -> Response:
        """Switch off, by a second factor of just now and for nothing else."""
        user = self.user(request)
        may = self.fresh(user, "switch off")
        if request.method == "GET" or not user["authy_id"]:
            return self.page(request, "off.html", may=may)
        await self.form(request)
        if not may:
            return self.prove(request, user, "switch off", "Switch off the second factor at Northwind Books?")
        await self.site.users.DeleteUser(user_pb2.DeleteUserRequest(authy_id=user["authy_id"]))
        self.store.forget(user["authy_id"])
        return self.enter(request, user["id"], "/security")

    # What all pages have in common.

    def logged_in(self, request: Request) -> Row:
        """Who is logged in, if anybody. Sessions end here: a copied cookie opens nothing after a log-out."""
        sql = "SELECT users.*, how FROM users JOIN logins ON user_id = users.id WHERE logins.id = ?"
        return self.store.one(sql, request.session.get("login"))

    def user(self, request: Request) -> Row:
        if user := self.logged_in(request):
            return user
        raise Redirect("/login")

    def enter(self, request: Request, user_id: str, next: str, how: str = "") -> Response:
        """Log in, with nothing left of what the session had before."""
        self.leave(request)
        request.session["login"] = login = secrets.token_urlsafe(16)
        self.store.do("INSERT INTO logins VALUES (?, ?, ?)", login, user_id, how)
        return RedirectResponse(next, 303)

    def leave(self, request: Request) -> None:
        self.store.do("DELETE FROM logins WHERE id = ?", request.session.get("login"))
        request.session.clear()

    def limit(self, request: Request, what: str, tries: int, who: str = "") -> None:
        """So many tries in ten minutes, of a name or of whoever is connected."""
        who = f"{what} {who or (request.client and request.client.host)}"
        self.store.do("DELETE FROM attempts WHERE time < ?", time.time() - 600)
        self.store.do("INSERT INTO attempts VALUES (?, ?)", who, time.time())
        if len(self.store.all("SELECT 1 FROM attempts WHERE who = ?", who)) > tries:
            raise HTTPException(429, "Too many tries. Wait ten minutes.", {"retry-after": "600"})

    async def form(self, request: Request) -> dict[str, str]:
        is_json = "json" in request.headers.get("content-type", "")
        try:
            sent = dict(await request.json() if is_json else await request.form())
            # JSON may hold what is no text: halves of surrogate pairs.
            "".join(map(str, sent.values())).encode()
        except (ValueError, TypeError, RecursionError):
            raise HTTPException(400, "That cannot be read.") from None
        token = str(request.headers.get("x-csrf-token") or sent.get("csrf", ""))
        # A form of another site comes without a cookie: a session without a token takes none.
        known = str(request.session.get("csrf", ""))
        if not (known and hmac.compare_digest(token.encode(), known.encode())):
            raise HTTPException(403, "This page is too old: load it again.")
        return {name: str(value)[:256] for name, value in sent.items()}

    def page(self, request: Request, name: str, status: int = 200, **values: Any) -> Response:
        csrf = request.session.setdefault("csrf", secrets.token_urlsafe(16))
        values |= {"me": self.logged_in(request), "csrf": csrf, "said": request.session.pop("said", "")}
        return self.pages.TemplateResponse(request, name, values, status, PAGE)

    def say(self, request: Request, path: str, words: str) -> Response:
        request.session["said"] = words
        return RedirectResponse(path, 303)

    async def elsewhere(self, request: Request, error: Exception) -> Response:
        """Go to another page of the shop; an element is told so."""
        next = str(error)
        return JSONResponse({"next": next}) if is_element(request) else RedirectResponse(next, 303)

    async def refused(self, request: Request, error: Any) -> Response:
        """What the shop itself refuses. It touches no session: the post may be another site's."""
        headers, values = PAGE | (error.headers or {}), {"words": error.detail}
        return self.pages.TemplateResponse(request, "refused.html", values, error.status_code, headers)

    async def away(self, request: Request, error: Exception) -> Response:
        """The service cannot be asked, or does not verify: closed for money, open for what costs nothing."""
        logging.getLogger("northwind").warning("no second factor: %s", error)
        word, wait = REFUSED.get(type(error), "unavailable"), getattr(error, "retry_delay", None)
        status = 503 if word == "unavailable" else 429
        headers = {"retry-after": str(ceil(wait.total_seconds()))} if wait else {}
        if is_element(request):
            # What the person has to hear is an answer; a browser writes other statuses to its console.
            return JSONResponse({"error": word}, 503 if word == "unavailable" else 200, headers)
        if status == 429:
            return await self.refused(request, HTTPException(429, "Too many tries. Wait a while.", headers))
        return self.page(request, "away.html", 503)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """The client belongs to the event loop that it is made in."""
        target, key = self.given.get("AUTHY_SERVER", "127.0.0.1:50051"), self.given["AUTHY_API_KEY"]
        timeout = float(self.given.get("NORTHWIND_TIMEOUT", "3"))
        with closing(self.store.db):
            async with authy.AsyncClient(target, key, timeout=timeout) as self.site:
                follows = asyncio.create_task(self.follow())
                yield
                follows.cancel()
                await asyncio.wait([follows])


def is_element(request: Request) -> bool:
    return "json" in request.headers.get("accept", "")


def date(time: datetime) -> str:
    return f"{time:%d %B %Y, %H:%M:%S} UTC"


def create(
    given: Mapping[str, str] = os.environ, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Starlette:
    """The shop as an ASGI application: `uvicorn --factory examples.site.app:create`."""
    shop, both = Shop(given, now), ["GET", "POST"]
    routes = [
        Route("/", shop.home),
        Route("/signup", shop.sign_up, methods=both),
        Route("/login", shop.log_in, methods=both),
        Route("/logout", shop.log_out, methods=["POST"]),
        Route("/security", shop.security),
        Route("/security/start", shop.start, methods=["POST"]),
        Route("/security/enroll", shop.enroll_page),
        Route("/security/enrollment", shop.enroll_element, methods=["POST", "DELETE"]),
        Route("/security/enrollment/qr.svg", shop.qr),
        Route("/security/enrollment/events", shop.enroll_events),
        Route("/security/enrollment/code", shop.confirm, methods=["POST"]),
        Route("/security/codes", shop.backup_codes, methods=both),
        Route("/security/events", shop.events),
        Route("/security/about", shop.about),
        Route("/security/off", shop.off, methods=both),
        Route("/second", shop.second),
        Route("/second/approval", shop.approval_element, methods=["POST", "DELETE"]),
        Route("/second/events", shop.approval_events),
        Route("/second/done", shop.approved),
        Route("/second/code", shop.code, methods=["POST"]),
        Route("/second/text", shop.text, methods=["POST"]),
        Route("/buy/{book}", shop.buy, methods=["POST"]),
        Route("/hook", shop.hook, methods=["POST"]),
        Mount("/authy", files()),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    secret = shop.store.setting("secret") or shop.store.setting("secret", secrets.token_urlsafe(32))
    cookies = Middleware(SessionMiddleware, secret_key=secret, https_only=shop.origin.startswith("https:"))
    away = (authy.AuthyError, authy.ReceiptError)
    errors: Any = {Redirect: shop.elsewhere, HTTPException: shop.refused, **dict.fromkeys(away, shop.away)}
    return Starlette(routes=routes, middleware=[cookies], lifespan=shop.lifespan, exception_handlers=errors)

"""The shop's pages, in the order of the story: sign up, switch on, log in, pay, watch, switch off."""

import asyncio
import hmac
import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

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

from authy_grpc import client as authy
from authy_grpc.client.browser import HEADERS, approval_answer, enrollment_answer, last_revision
from authy_grpc.client.browser.starlette import Events, files
from authy_grpc.v1 import approval_pb2 as approvals
from authy_grpc.v1 import enrollment_pb2 as enrollments
from authy_grpc.v1 import user_pb2 as users
from authy_grpc.v1 import verification_pb2 as codes
from authy_grpc.v1 import webhook_pb2 as webhooks
from authy_grpc.v1.event_pb2 import Event
from examples.site.store import PROOF_SECONDS, Row, Store, hash_password, is_password

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


Now = Callable[[], datetime]


class Redirect(Exception):
    """Ends a request: go elsewhere, on this site."""


class Shop:
    """The shop: its own web origin, its database and, while it runs, its client of the service."""

    site: authy.AsyncClient

    def __init__(self, origin: str, store: Store, now: Now) -> None:
        self.origin, self.store, self.now, self.news = origin, store, now, asyncio.Event()
        self.pages = Jinja2Templates(HERE / "templates")

    # Sign up, and log in with a password.

    async def home(self, request: Request) -> Response:
        """The shelves: open to everybody, whatever the service does."""
        sql = "SELECT detail FROM proofs WHERE user_id = ? AND purpose = 'pay' AND used"
        bought = {row["detail"] for row in self.store.all(sql, request.session.get("user"))}
        return self.page(request, "home.html", books=BOOKS, bought=bought)

    async def sign_up(self, request: Request) -> Response:
        """A name and a password, and nothing more."""
        if request.method == "GET":
            return self.page(request, "sign_up.html")
        form = await self.form(request)
        name, password = form.get("name", "").strip(), form.get("password", "")
        if not (0 < len(name) <= 40 and 8 <= len(password) <= 200):
            return self.page(request, "sign_up.html", error="A name, and a password of 8 characters or more.")
        user_id, hashed = secrets.token_urlsafe(16), await run_in_threadpool(hash_password, password)
        sql = "INSERT OR IGNORE INTO users (id, name, password) VALUES (?, ?, ?)"
        if not self.store.do(sql, user_id, name, hashed):
            return self.page(request, "sign_up.html", error="That name is taken.")
        return self.enter(request, user_id, "/security")

    async def log_in(self, request: Request) -> Response:
        """A password, and then the second factor where there is one."""
        if request.method == "GET":
            return self.page(request, "log_in.html")
        form = await self.form(request)
        name, host = form.get("name", "").strip().lower(), request.client.host if request.client else ""
        if not (self.store.may_try(f"name {name}", 10) and self.store.may_try(f"host {host}", 100)):
            return self.page(request, "log_in.html", 429, error="Too many tries. Wait ten minutes.")
        user = self.store.one("SELECT * FROM users WHERE name = ?", name)
        kept = user["password"] if user else "00:"
        if not await run_in_threadpool(is_password, form.get("password", ""), kept):
            return self.page(request, "log_in.html", error="Name and password do not match.")
        if user["authy_id"]:
            return self.prove(request, user, "log in", "Log in to Northwind Books?")
        return self.enter(request, user["id"], "/")

    async def log_out(self, request: Request) -> Response:
        """Forget this browser."""
        await self.form(request)
        request.session.clear()
        return RedirectResponse("/", 303)

    # Switch the second factor on.

    async def security(self, request: Request) -> Response:
        """The security page: whether the second factor is on, its events, and how this login was proven."""
        user = self.user(request)
        proof = self.store.one("SELECT facts FROM proofs WHERE id = ?", request.session.get("how", ""))
        facts = json.loads(proof["facts"]) if proof else {}
        keys = [key for key in self.store.keys(user["authy_id"]) if not key.HasField("revoke_time")]
        return self.page(request, "security.html", facts=facts, keys=keys, events=self.happened(user, 0))

    async def start(self, request: Request) -> Response:
        """Begin an enrollment, with our authenticator or with any other app."""
        user, form = self.user(request), await self.form(request)
        if user["authy_id"]:
            raise Redirect("/security")
        await self.enroll(user, enrollments.ENROLLMENT_METHOD_GENERIC_TOTP if "other" in form else 0)
        return RedirectResponse("/security/enroll", 303)

    async def enroll_page(self, request: Request) -> Response:
        """The page with `<authy-enroll>`; without script it shows the state of when it was loaded."""
        found, kept = await self.enrollment(request)
        answer = enrollment_answer(found, events="", link=kept["link"], next=self.keep(found))
        if "next" in answer:
            return RedirectResponse(answer["next"], 303)
        return self.page(request, "enroll.html", answer=answer)

    async def enroll_element(self, request: Request) -> Response:
        """What `<authy-enroll>` asks for: what there is, a new one, or an end."""
        user, body = self.user(request), await self.form(request)
        _, kept = await self.enrollment(request)
        if request.method == "DELETE":
            with suppress(authy.WrongState):
                ended = enrollments.CancelEnrollmentRequest(enrollment_id=kept["id"])
                await self.site.enrollments.CancelEnrollment(ended)
        elif body.get("again"):
            await self.enroll(user, kept["method"])
        found, kept = await self.enrollment(request)
        image = f"/security/enrollment/qr.svg?{kept['id']}"
        told = {"link": kept["link"], "image": image, "next": self.keep(found)}
        return JSONResponse(enrollment_answer(found, events="/security/enrollment/events", **told))

    async def qr(self, request: Request) -> Response:
        """The QR code, as the service has drawn it."""
        return Response((await self.enrollment(request))[1]["image"], 200, PAGE, "image/svg+xml")

    async def enroll_events(self, request: Request) -> Response:
        """The states of the enrollment; what it brings is kept before the browser is told."""
        _, kept = await self.enrollment(request)
        return Events(request, self.site.watch_enrollment, kept["id"], self.keep)

    async def confirm(self, request: Request) -> Response:
        """The first code, by the element or by a form: whoever has scanned is whoever sits here."""
        body, (_, kept) = await self.form(request), await self.enrollment(request)
        asked = enrollments.ConfirmEnrollmentRequest(enrollment_id=kept["id"], code=body.get("code") or "-")
        try:
            found = (await self.site.enrollments.ConfirmEnrollment(asked)).enrollment
            told = {"state": "completed", "next": self.keep(found)}
        except (authy.CodeRejected, authy.UserLocked, authy.WrongState) as error:
            told = {"error": "locked" if isinstance(error, authy.UserLocked) else "wrong"}
        if "json" in request.headers.get("accept", ""):
            return JSONResponse(told)
        request.session["said"] = "" if "next" in told else "That is not the code."
        return RedirectResponse(told.get("next", "/security/enroll"), 303)

    async def enroll(self, user: Row, method: int) -> None:
        """Make an enrollment. Its link is told once: kept for a reload."""
        asked = enrollments.CreateEnrollmentRequest(custom_user_id=user["id"], method=method)  # type: ignore[arg-type]
        # Without it, whoever scans first is enrolled, and not whoever sits here.
        asked.require_code = True
        asked.qr.format = enrollments.QR_CODE_FORMAT_SVG
        made = await self.site.enrollments.CreateEnrollment(asked)
        row = (user["id"], made.enrollment.enrollment_id, method, made.qr.uri, made.qr.image)
        self.store.do("INSERT OR REPLACE INTO enrollments VALUES (?, ?, ?, ?, ?)", *row)

    async def enrollment(self, request: Request) -> tuple[enrollments.Enrollment, Row]:
        """The last enrollment of who is logged in, as it stands, and what is kept of it."""
        kept = self.store.one("SELECT * FROM enrollments WHERE user_id = ?", self.user(request)["id"])
        if kept is None:
            raise Redirect("/security")
        asked = enrollments.GetEnrollmentRequest(enrollment_id=kept["id"])
        return (await self.site.enrollments.GetEnrollment(asked)).enrollment, kept

    def keep(self, made: enrollments.Enrollment) -> str:
        """Keep what a completed enrollment brings; where to go then. Stream, code and webhook all say it."""
        if not made.authy_id:
            return ""
        # Once: it is told for ever, also when the second factor has been switched off or a key revoked since.
        if not self.store.one("SELECT 1 FROM kept WHERE id = ?", made.enrollment_id):
            self.store.do("UPDATE users SET authy_id = ? WHERE id = ?", made.authy_id, made.custom_user_id)
            self.store.learn(made.authy_id, made.keys)
            self.store.do("INSERT OR IGNORE INTO kept VALUES (?)", made.enrollment_id)
        return "/security/codes"

    async def backup_codes(self, request: Request) -> Response:
        """Ten backup codes, shown once. Others than the first take a second factor of just now."""
        user = self.user(request)
        if request.method == "GET" or not user["authy_id"]:
            return self.page(request, "codes.html")
        await self.form(request)
        if user["backup_codes"] and not self.fresh(request, "new codes"):
            return self.prove(request, user, "new codes", "Make new backup codes at Northwind Books?")
        asked = codes.CreateBackupCodesRequest(authy_id=user["authy_id"])
        made = await self.site.verification.CreateBackupCodes(asked)
        self.store.do("UPDATE users SET backup_codes = ? WHERE id = ?", len(made.codes), user["id"])
        request.session.pop("how", "")
        return self.page(request, "codes.html", codes=made.codes)

    # The second factor: to log in, to pay, to change it.

    def prove(self, request: Request, user: Row, purpose: str, message: str, detail: str = "") -> Response:
        """Ask for it: what is asked waits in the session for five minutes."""
        request.session["proof"] = self.store.begin(user, purpose, message, detail)
        return RedirectResponse("/second", 303)

    def pending(self, request: Request) -> tuple[Row, Row]:
        """What this browser is asked for, and of whom."""
        proof = self.store.pending(request.session.get("proof", ""))
        user = self.store.one("SELECT * FROM users WHERE id = ?", proof["user_id"]) if proof else None
        if user is None or not user["authy_id"]:
            raise Redirect("/login")
        return proof, user

    async def second(self, request: Request) -> Response:
        """One page with the ways that this user has now."""
        proof, user = self.pending(request)
        found = await self.site.users.GetUser(users.GetUserRequest(authy_id=user["authy_id"]))
        push, text = (way in found.user.factors for way in (users.FACTOR_PUSH, users.FACTOR_SMS))
        return self.page(request, "second.html", proof=proof, push=push, text=text)

    async def approval_element(self, request: Request) -> Response:
        """What `<authy-approval>` asks for. A reload goes on with the question that there is."""
        (proof, user), body = self.pending(request), await self.form(request)
        if request.method == "DELETE":
            with suppress(authy.WrongState):
                ended = approvals.CancelApprovalRequest(approval_id=proof["approval_id"])
                await self.site.approvals.CancelApproval(ended)
        if request.method == "POST" and (body.get("again") or not proof["approval_id"]):
            found = await self.ask(proof, user)
        else:
            asked = approvals.GetApprovalRequest(approval_id=proof["approval_id"])
            found = (await self.site.approvals.GetApproval(asked)).approval
        next = self.check(proof, user, found)
        return JSONResponse(approval_answer(found, events="/second/events", next=next))

    async def ask(self, proof: Row, user: Row) -> approvals.Approval:
        """Put the question, and keep it: the receipt is compared with it."""
        asked = approvals.CreateApprovalRequest(authy_id=user["authy_id"], message=proof["message"])
        if proof["detail"]:
            asked.details.add(label="Book", value=proof["detail"])
        made = (await self.site.approvals.CreateApproval(asked)).approval
        authy.check_asked(asked, made, self.now())
        if self.store.one("SELECT 1 FROM proofs WHERE approval_id = ?", made.approval_id):
            raise authy.ReceiptError("approval_id: was used before")
        row = (made.approval_id, made.SerializeToString(), proof["id"])
        self.store.do("UPDATE proofs SET approval_id = ?, asked = ? WHERE id = ?", *row)
        return made

    async def approval_events(self, request: Request) -> Response:
        """The states of the approval; the receipt is checked before the browser is told."""
        proof, user = self.pending(request)
        if not proof["approval_id"]:
            raise Redirect("/second")
        done = partial(self.check, proof, user)
        return Events(request, self.site.watch_approval, proof["approval_id"], done)

    def check(self, proof: Row, user: Row, found: approvals.Approval) -> str:
        """Check the signature of an approval, and keep what was checked; where to go then."""
        if found.state != approvals.APPROVAL_STATE_APPROVED:
            return ""
        asked, keys = approvals.Approval.FromString(proof["asked"]), self.store.keys(user["authy_id"])
        holds = authy.verify_receipt(found, asked, self.origin, keys)
        since = next(key.create_time.ToDatetime() for key in keys if key.kid == holds.kid)
        facts = {
            "Decision": holds.decision.value,
            "Question": " ".join([asked.message, proof["detail"]]).strip(),
            "Number typed": asked.match_number,
            "For": self.origin,
            "Signed": f"{holds.time:%d %B %Y, %H:%M:%S} UTC",
            "By the key": holds.kid,
            "Known since": f"{since:%d %B %Y, %H:%M} UTC",
            "Approval": found.approval_id,
        }
        self.store.do("UPDATE proofs SET facts = ? WHERE id = ?", json.dumps(facts), proof["id"])
        return "/second/done"

    async def approved(self, request: Request) -> Response:
        """Where the browser goes once a receipt holds: a stream can set no cookie."""
        proof, _ = self.pending(request)
        return self.finish(request, proof) if proof["facts"] else RedirectResponse("/second", 303)

    async def code(self, request: Request) -> Response:
        """A code of an app, of a text, or a backup code: the service knows which it is."""
        (proof, user), form = self.pending(request), await self.form(request)
        asked = codes.VerifyCodeRequest(authy_id=user["authy_id"], action="second")
        asked.code = form.get("code") or "-"
        try:
            found = await self.site.verification.VerifyCode(asked)
        except (authy.UserLocked, authy.RateLimited):
            return self.say(request, "Too many wrong codes. Wait a while, or use a backup code.")
        if found.result == codes.CODE_RESULT_REPLAYED:
            return self.say(request, "That code was used before. Wait for the next one.")
        if found.result != codes.CODE_RESULT_ACCEPTED:
            return self.say(request, f"That is not the code. Tries left: {found.attempts_remaining}.")
        facts = {"Code": users.Factor.Name(found.factor).removeprefix("FACTOR_").replace("_", " ").lower()}
        self.store.do("UPDATE proofs SET facts = ? WHERE id = ?", json.dumps(facts), proof["id"])
        return self.finish(request, proof)

    async def text(self, request: Request) -> Response:
        """Text me: to a number that the shop does not know, although the phone could make a code."""
        (_, user), _ = self.pending(request), await self.form(request)
        asked = codes.SendCodeRequest(authy_id=user["authy_id"], force=True, action="second")
        try:
            await self.site.verification.SendCode(asked)
        except (authy.FactorUnavailable, authy.RateLimited):
            return self.say(request, "No text can be sent now. Use another way.")
        return self.say(request, "A code is on its way to your phone.")

    def finish(self, request: Request, proof: Row) -> Response:
        """The second factor holds, and is used: once."""
        if not self.store.do("UPDATE proofs SET used = 1 WHERE id = ? AND NOT used", proof["id"]):
            raise Redirect("/login")
        ends = {"pay": "/?paid", "switch off": "/security/off", "new codes": "/security/codes"}
        next = ends.get(proof["purpose"], "/security")
        return self.enter(request, proof["user_id"], next, how=proof["id"])

    def fresh(self, request: Request, purpose: str) -> bool:
        """Whether this session's last second factor was for that, and is not five minutes old."""
        sql = "SELECT 1 FROM proofs WHERE id = ? AND used AND purpose = ? AND begun > ?"
        values = (request.session.get("how", ""), purpose, time.time() - PROOF_SECONDS)
        return bool(self.store.one(sql, *values))

    async def buy(self, request: Request) -> Response:
        """Pay: what is paid is signed on the phone. While the service is away, nobody pays."""
        user, _ = self.user(request), await self.form(request)
        if not user["authy_id"]:
            request.session["said"] = "Switch on the second factor first: what you pay is signed with it."
            raise Redirect("/security")
        if request.path_params["book"] not in BOOKS:
            raise HTTPException(404)
        title, _, price = BOOKS[request.path_params["book"]]
        return self.prove(request, user, "pay", f"Pay {price}.00 EUR to Northwind Books?", title)

    # What happens to the second factor: by stream and by webhook.

    async def hook(self, request: Request) -> Response:
        """The webhook: verified as it came, before anything parses it."""
        secret = self.store.setting("hook_secret")
        try:
            self.take(authy.verify_webhook(secret, request.headers, await request.body()).event)
        except (authy.WebhookError, ValueError):
            return Response(status_code=400)
        return Response(status_code=204)

    async def follow(self) -> None:
        """Read the feed for ever, from where the last run stopped."""
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

    async def make_hook(self, url: str) -> None:
        """Make the shop's webhook, once. The stream tells the same: without it nothing is lost."""
        if url and self.store.setting("hook") != url:
            with suppress(authy.AuthyError):
                made = await self.site.webhooks.CreateWebhook(webhooks.CreateWebhookRequest(url=url))
                self.store.setting("hook_secret", made.secret)
                self.store.setting("hook", url)

    def take(self, event: Event) -> None:
        """Do what an event asks for, once, whichever way it comes."""
        authy_id = getattr(getattr(event, event.WhichOneof("subject") or "user"), "authy_id", "")
        with self.store.db:
            self.store.do("BEGIN IMMEDIATE")
            if not self.store.remember(event, authy_id):
                return
            if event.type == "enrollment.completed":
                self.keep(event.enrollment)
            elif event.type in ("user.device_added", "user.device_removed"):
                self.store.learn(authy_id, [event.user.key])
            elif event.type == "user.deleted":
                self.store.forget(authy_id)
        self.news.set()
        self.news = asyncio.Event()

    def happened(self, user: Row, after: int) -> list[Row]:
        """The last events of a user since one of them, oldest first."""
        sql = "SELECT * FROM events WHERE authy_id = ? AND number > ? ORDER BY number DESC LIMIT 20"
        return self.store.all(sql, user["authy_id"], after)[::-1]

    async def events(self, request: Request) -> Response:
        """The security page's own stream."""
        lines = self.lines(self.user(request), last_revision(request.headers.get("last-event-id")))
        return StreamingResponse(lines, headers=HEADERS, media_type="text/event-stream")

    async def lines(self, user: Row, number: int) -> AsyncGenerator[str, None]:
        """Type and time of each event, and nothing else."""
        yield "retry: 3000\n\n"
        while True:
            news = self.news
            for row in self.happened(user, number):
                number = row["number"]
                yield f"id: {number}\ndata: {json.dumps({'type': row['type'], 'time': row['time']})}\n\n"
            try:
                await asyncio.wait_for(news.wait(), 15)
            except TimeoutError:
                yield ":\n\n"

    # What the shop knows, and switching off.

    async def about(self, request: Request) -> Response:
        """The rows about this user, as they are."""
        return self.page(request, "about.html", known=self.store.known(self.user(request)))

    async def off(self, request: Request) -> Response:
        """Switch off, by a second factor of just now and for nothing else."""
        user, may = self.user(request), self.fresh(request, "switch off")
        if request.method == "GET" or not user["authy_id"]:
            return self.page(request, "off.html", may=may)
        await self.form(request)
        if not may:
            return self.prove(request, user, "switch off", "Switch off the second factor at Northwind Books?")
        await self.site.users.DeleteUser(users.DeleteUserRequest(authy_id=user["authy_id"]))
        self.store.forget(user["authy_id"])
        return self.enter(request, user["id"], "/security")

    # What all pages have in common.

    def user(self, request: Request) -> Row:
        """Who is logged in: where nobody is, the page to log in."""
        user = self.store.one("SELECT * FROM users WHERE id = ?", request.session.get("user"))
        if user is None:
            raise Redirect("/login")
        return user

    def enter(self, request: Request, user_id: str, next: str, **more: str) -> Response:
        """Log in, with nothing left of what the session had before."""
        request.session.clear()
        request.session.update(user=user_id, **more)
        return RedirectResponse(next, 303)

    def say(self, request: Request, words: str) -> Response:
        """Back to the second factor, with a word."""
        request.session["said"] = words
        return RedirectResponse("/second", 303)

    def page(self, request: Request, name: str, status: int = 200, **values: Any) -> Response:
        """A page, with the token that its forms and elements send."""
        csrf = request.session.setdefault("csrf", secrets.token_urlsafe(16))
        user = self.store.one("SELECT * FROM users WHERE id = ?", request.session.get("user"))
        values |= {"me": user, "csrf": csrf, "said": request.session.pop("said", "")}
        return self.pages.TemplateResponse(request, name, values, status, PAGE)

    async def form(self, request: Request) -> dict[str, str]:
        """What was posted, by a form or an element, with the token of this session."""
        sent = "json" in request.headers.get("content-type", "")
        try:
            fields = dict(json.loads(await request.body() or b"{}") if sent else await request.form())
        except (ValueError, TypeError):
            raise HTTPException(400) from None
        body = {name: str(was)[:256] for name, was in fields.items() if was is True or isinstance(was, str)}
        token = request.headers.get("x-csrf-token") or body.get("csrf", "")
        # A form of another site comes without a cookie: a session without a token takes none.
        known = str(request.session.get("csrf", ""))
        if not (known and hmac.compare_digest(token.encode(), known.encode())):
            raise HTTPException(403, "This page is too old: load it again.")
        return body

    async def elsewhere(self, request: Request, error: Exception) -> Response:
        """Go to another page of the shop; an element is told so."""
        if "json" in request.headers.get("accept", ""):
            return JSONResponse({"next": str(error)})
        return RedirectResponse(str(error), 303)

    async def away(self, request: Request, error: Exception) -> Response:
        """The service cannot be asked, or does not verify: closed for money, open for what costs nothing."""
        logging.getLogger("northwind").warning("no second factor: %s", error)
        if "json" in request.headers.get("accept", ""):
            refused = isinstance(error, (authy.PushFrozen, authy.FactorUnavailable))
            return JSONResponse({"error": "frozen" if refused else "unavailable"})
        return self.page(request, "away.html", 503)


def _now() -> datetime:
    return datetime.now(UTC)


def create(
    target: str, api_key: str, origin: str, data: Path, *, hook: str = "", timeout: float = 3, now: Now = _now
) -> Starlette:
    """The shop as an ASGI application, for a server that runs its lifespan: the client lives in it.

    Args:
        target: where the service listens, such as `127.0.0.1:50051`.
        api_key: of the shop, with all scopes.
        origin: of the shop's pages, exactly as the operator of the service has it.
        data: a folder for the shop's database.
        hook: where the service posts webhooks: this application's `/hook`, as the service reaches it. Without
            it the shop has the stream alone.
        timeout: seconds that a page waits for the service.
        now: the time, which tests turn.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = Store(data / "northwind.db")
    shop = Shop(origin, store, now)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with authy.AsyncClient(target, api_key, timeout=timeout) as shop.site:
            follows = [asyncio.create_task(shop.follow()), asyncio.create_task(shop.make_hook(hook))]
            yield
            for task in follows:
                task.cancel()
            await asyncio.wait(follows)
        store.db.close()

    both = ["GET", "POST"]
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
    secret = store.setting("secret") or store.setting("secret", secrets.token_urlsafe(32))
    cookies = Middleware(SessionMiddleware, secret_key=secret, https_only=origin.startswith("https:"))
    away = (authy.AuthyError, authy.ReceiptError)
    errors: Any = {Redirect: shop.elsewhere, **dict.fromkeys(away, shop.away)}
    return Starlette(routes=routes, middleware=[cookies], lifespan=lifespan, exception_handlers=errors)

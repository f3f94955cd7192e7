"""Judges a code that was typed at a site, and what checking it uses up."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from authy_grpc.domain import totp
from authy_grpc.domain.codes import SENT_DIGITS
from authy_grpc.domain.limits import Guesses, after_wrong, attempts_remaining, check_guesses
from authy_grpc.domain.totp import Seed, Verdict
from authy_grpc.domain.typed import is_code, normalize
from authy_grpc.domain.user import Factor

SENT_CODE_LIFE = timedelta(minutes=5)
SENT_CODE_GUESSES = 5


class CodeResult(StrEnum):
    """What became of a code."""

    ACCEPTED = "ACCEPTED"
    WRONG = "WRONG"
    REPLAYED = "REPLAYED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer to a code.

    Attributes:
        factor: which took it; None unless ACCEPTED.
        attempts_remaining: wrong codes that bring the next lock, for the next code: 5 where ACCEPTED.
    """

    result: CodeResult
    factor: Factor | None
    attempts_remaining: int


@dataclass(slots=True, kw_only=True)
class SentCode:
    """A code that was sent to the phone, for one action.

    Attributes:
        factor: SMS or VOICE, however it went last.
        failures: wrong codes since it was drawn. The fifth voids it: from then on it is WRONG, though it be
            right, and counts, so that guessing on tells nothing.
        counts: whether it may be accepted. One whose owner is gone, or has switched such codes off, is
            looked at and counted as before, so that its site sees no difference until it is told.
    """

    code: str = field(repr=False)
    factor: Factor
    expire_time: datetime
    failures: int = 0
    used: bool = False
    counts: bool = True

    def is_good(self, now: datetime) -> bool:
        """Whether it would be accepted, and is what goes out when another is asked for."""
        return not self.used and self.failures < SENT_CODE_GUESSES and now < self.expire_time


@dataclass(slots=True, kw_only=True)
class Codes:
    """All that may take a code of one user now. `check` uses it up; what is to be saved is named below.

    Attributes:
        digits: of a soft token.
        period: seconds for which a soft token stands.
        guesses: wrong codes since the last success.
        seeds: of soft tokens.
        void: seeds whose codes are WRONG by now, while the site is yet to be told. They are evaluated and
            passed over: a code takes as long to check as before.
        sent: the code of each action.
        backup: digests of backup codes.
        steps: new `last_step` of a seed, by its `key_id`.
        touched: actions whose sent code has changed.
        spent: digests of backup codes that are used.
        taken_by: `key_id` of the seed that made the code checked last; None where it took none.
    """

    digits: int
    period: int
    guesses: Guesses
    seeds: list[Seed] = field(default_factory=list)
    void: list[Seed] = field(default_factory=list)
    sent: dict[str, SentCode] = field(default_factory=dict)
    backup: set[bytes] = field(default_factory=set)
    steps: dict[str, int] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    spent: set[bytes] = field(default_factory=set)
    taken_by: str | None = None

    def may_be(self, code: str) -> bool:
        """Whether a text can be a code here: by its digits alone, whatever the user has or was sent."""
        return is_code(code, self.digits, SENT_DIGITS)

    def check(self, code: str, action: str, now: datetime) -> Checked:
        """Checks a code against soft tokens and the code sent for an action.

        Args:
            code: as typed.
            action: what a sent code must have been sent for.
            now: aware.

        Returns:
            The answer. Where it is ACCEPTED the counts begin anew, where it is WRONG one is added. What
            cannot be a code is WRONG too, and is not counted.

        Raises:
            UserLocked: wrong codes have locked the user: this one was not looked at.
        """
        self.taken_by = None
        check_guesses(self.guesses, now)
        if not self.may_be(code):
            return Checked(CodeResult.WRONG, None, attempts_remaining(self.guesses, now))
        result, factor = self._worth(normalize(code), action, now)
        if result is CodeResult.ACCEPTED:
            self.guesses = Guesses()
            return Checked(result, factor, attempts_remaining(self.guesses, now))
        if result is CodeResult.WRONG:
            self.guesses = after_wrong(self.guesses, now)
        return Checked(result, factor, attempts_remaining(self.guesses, now))

    def check_backup(self, digests: Sequence[bytes], now: datetime) -> Checked:
        """Checks a code that has the shape of a backup code: while the user is locked too, and uncounted.

        Args:
            digests: of the code, by each key that one may be kept by.
            now: aware.
        """
        self.taken_by = None
        for digest in digests:
            if digest in self.backup:
                self.backup.discard(digest)
                self.spent.add(digest)
                self.guesses = Guesses()
                return Checked(CodeResult.ACCEPTED, Factor.BACKUP_CODE, attempts_remaining(self.guesses, now))
        return Checked(CodeResult.WRONG, None, attempts_remaining(self.guesses, now))

    def _worth(self, code: str, action: str, now: datetime) -> tuple[CodeResult, Factor | None]:
        totp.evaluate(self.void, code, now, digits=self.digits, period=self.period)
        token = totp.evaluate(self.seeds, code, now, digits=self.digits, period=self.period)
        if token.verdict is Verdict.ACCEPTED:
            self._spend(token)
            return CodeResult.ACCEPTED, Factor.SOFT_TOKEN
        sent = self.sent.get(action)
        right = sent is not None and hmac.compare_digest(sent.code.encode(), code.encode())
        if sent is not None and sent.is_good(now) and (right or token.verdict is Verdict.WRONG):
            self.touched.add(action)
            if right and sent.counts:
                sent.used = True
                return CodeResult.ACCEPTED, sent.factor
            sent.failures += 1
            # One that does not count is as wrong as any other.
            right = False
        if token.verdict is Verdict.REPLAYED:
            return CodeResult.REPLAYED, None
        if sent is not None and right and sent.used:
            return CodeResult.REPLAYED, None
        if sent is not None and right and sent.failures < SENT_CODE_GUESSES:
            return CodeResult.EXPIRED, None
        return CodeResult.WRONG, None

    def _spend(self, token: totp.Match) -> None:
        for index, seed in enumerate(self.seeds):
            if seed.key_id == token.key_id and token.step is not None:
                self.seeds[index] = replace(seed, last_step=token.step)
                self.steps[seed.key_id] = token.step
                self.taken_by = seed.key_id

"""Calls the service as a phone does: device token, the service's clock, proofs by the signing key."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

import grpc

from authy_grpc.domain import keys
from authy_grpc.phone.errors import PhoneError
from authy_grpc.phone.resume import Resume
from authy_grpc.phone.state import Keeper
from authy_grpc.v1 import account_pb2
from authy_grpc.v1.account_pb2_grpc import AccountServiceStub

Clock = Callable[[], datetime]
Sleep = Callable[[float], Awaitable[object]]

_DEADLINE = 30.0
_RENEW_BEFORE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MAX_SKEW_MILLIS = 60_000


class Proved(Protocol):
    """A request that carries a DeviceProof."""

    @property
    def proof(self) -> account_pb2.DeviceProof:
        """The proof, put in before the request goes out."""


_Request = TypeVar("_Request")
_ProvedRequest = TypeVar("_ProvedRequest", bound=Proved)
_Response = TypeVar("_Response")
_Result = TypeVar("_Result")


class Session:
    """Calls with the device's token, which it gets and renews by itself.

    Args:
        channel: to the service; closing it is the caller's.
        keeper: of the phone's state.
        clock: the phone's own clock, aware; how far off the service's it is, the session learns.
        sleep: waits that many seconds.
    """

    def __init__(
        self, channel: grpc.aio.Channel, keeper: Keeper, clock: Clock, sleep: Sleep = asyncio.sleep
    ) -> None:
        self.keeper = keeper
        self._sleep = sleep
        self._clock = clock
        self._account = AccountServiceStub(channel)
        self._offset = timedelta()
        self._token = ""
        self._expire_time = _EPOCH
        self._opening = asyncio.Lock()
        self._proving = asyncio.Lock()

    def now(self) -> datetime:
        """The service's time, as far as the phone knows."""
        return self._clock() + self._offset

    def heard(self, server_time: datetime) -> None:
        """Learns from a message of a stream, which may have waited: its time can be past, not ahead."""
        self._offset = max(self._offset, server_time - self._clock())

    async def open(self) -> None:
        """Opens a session where there is none that goes on for a minute.

        Raises:
            PhoneError: BAD_CREDENTIAL where the device is revoked or unknown.
        """
        await self._good_token()

    def forget(self) -> None:
        """Drops the token: the next call opens a session."""
        self._token, self._expire_time = "", _EPOCH

    async def call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response], request: _Request
    ) -> _Response:
        """Calls with the token, once more with a new one where it is refused."""
        return await self._with_token(lambda token: send(method, request, token))

    async def prove(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_ProvedRequest, _Response],
        name: str,
        request: _ProvedRequest,
        *names: str,
    ) -> _Response:
        """Calls with the token and a DeviceProof.

        Args:
            method: of a stub.
            name: of the method, such as `AccountService/RevokeDevice`.
            request: without the proof, which is put in here.
            names: what the proof names beside the method, in order.
        """
        return await self._with_token(lambda token: self._prove(method, name, request, names, token))

    async def stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[_Request, _Response], request: _Request
    ) -> AsyncGenerator[_Response, None]:
        """Reads a stream that says all at its begin, and opens it again whatever cuts it.

        Raises:
            PhoneError: what the service says, but UNAVAILABLE and a token that has ended; or it was not
                reached in 30 s.
        """
        resume, refused = Resume(), ""
        while True:
            call = None
            try:
                token = await self._good_token(refused)
                call = method(request, metadata=_bearer(token))
                async for response in call:
                    resume.heard()
                    refused = ""
                    yield response
                return
            except grpc.aio.AioRpcError as error:
                failure = PhoneError.read(error)
                stale = failure.reason == "BAD_CREDENTIAL" and not refused
                refused = token if stale else ""
            except PhoneError as error:
                # Of a session, which a road may have kept from being opened.
                failure, stale = error, False
            finally:
                if call is not None:
                    call.cancel()
            if not stale:
                await self._sleep(resume.wait(failure))

    async def _with_token(self, attempt: Callable[[str], Awaitable[_Result]]) -> _Result:
        token = await self._good_token()
        try:
            return await attempt(token)
        except PhoneError as error:
            if error.reason != "BAD_CREDENTIAL":
                raise
        return await attempt(await self._good_token(refused=token))

    async def _good_token(self, refused: str = "") -> str:
        async with self._opening:
            if self._token == refused or self._expire_time - self.now() < _RENEW_BEFORE:
                await self._create()
            return self._token

    async def _create(self) -> None:
        request = account_pb2.CreateSessionRequest(device_id=self.keeper.state.device_id)
        response = await self._prove(
            self._account.CreateSession, "AccountService/CreateSession", request, (), token=""
        )
        self._token = response.device_token
        self._expire_time = response.expire_time.ToDatetime(UTC)
        self._offset = response.server_time.ToDatetime(UTC) - self._clock()

    async def _prove(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_ProvedRequest, _Response],
        name: str,
        request: _ProvedRequest,
        names: tuple[str, ...],
        token: str,
    ) -> _Response:
        # One at a time: the service takes proofs only in the order of their times.
        async with self._proving:
            self._sign(name, request, names)
            try:
                return await send(method, request, token)
            except PhoneError as error:
                if error.reason != "CLOCK_SKEW" or "server_time" not in error.metadata:
                    raise
                server_time = _EPOCH + int(error.metadata["server_time"]) * _MILLISECOND
            self._offset = server_time - self._clock()
            self._sign(name, request, names)
            return await send(method, request, token)

    def _sign(self, name: str, request: Proved, names: tuple[str, ...]) -> None:
        now = (self.now() - _EPOCH) // _MILLISECOND
        # One that far ahead was refused for it, and need not be passed.
        state = self.keeper.change(
            lambda state: replace(
                state,
                last_proof=max(now, state.last_proof + 1)
                if state.last_proof <= now + _MAX_SKEW_MILLIS
                else now,
            )
        )
        message = keys.proof_message(state.device_id, f"authy_grpc.v1.{name}", state.last_proof, *names)
        request.proof.time_millis = state.last_proof
        request.proof.signature = keys.sign(state.signing_key, message)


async def send(
    method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response], request: _Request, token: str = ""
) -> _Response:
    """Calls a unary method, with a device token where there is one.

    Raises:
        PhoneError: whatever goes wrong.
    """
    try:
        return await method(request, timeout=_DEADLINE, metadata=_bearer(token))
    except grpc.aio.AioRpcError as error:
        raise PhoneError.read(error) from None


def _bearer(token: str) -> grpc.aio.Metadata | None:
    return grpc.aio.Metadata(("authorization", f"Bearer {token}")) if token else None

"""Gives a device a token, and takes it back."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from authy_grpc.domain.device import Proof
from authy_grpc.domain.ids import hash_secret, new_id, new_secret
from authy_grpc.domain.limits import SESSION_RULES
from authy_grpc.service import proofs
from authy_grpc.service.caller import Device, Nobody
from authy_grpc.store import budget, credential
from authy_grpc.store import device as devices
from authy_grpc.store import session as sessions
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx

_GOOD_FOR = timedelta(hours=1)
_MOST = 10
_CREATE = "authy_grpc.v1.AccountService/CreateSession"


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that was just opened: the one time that its token is told.

    Attributes:
        server_time: by which the device may set its clock.
    """

    device_token: str = field(repr=False)
    expire_time: datetime
    server_time: datetime


class Sessions:
    """Opens and ends the sessions of devices.

    Args:
        database: keeps them.
    """

    def __init__(
        self,
        *,
        database: Database,
    ) -> None:
        self._database = database

    async def create(self, caller: Nobody, device_id: str, proof: Proof) -> NewSession:
        """Exchange a proof for a token. Of many sessions of a device the oldest ends.

        Args:
            caller: nobody: the proof says who it is.
            device_id: of the device.
            proof: names nothing more.

        Raises:
            BadCredential: the device is unknown or put out, or the proof is bad.
            ClockSkew: the proof's time is off.
            RateLimited: the device opens too many.
        """

        def look(tx: Tx) -> str:
            device = devices.ROWS.find(tx, device_id)
            proofs.signed(device, _CREATE, proof)
            return proofs.fresh(device, proof, tx.now()).account_id

        def work(tx: Tx) -> NewSession:
            device = devices.lock(tx, device_id)
            # Not before it is locked, which may take a while.
            now = tx.now()
            device = proofs.fresh(device, proof, now)
            times = budget.allow(tx, f"sessions:{device_id}", SESSION_RULES)
            budget.keep(tx, f"sessions:{device_id}", times, SESSION_RULES)
            devices.ROWS.change(tx, device, last_proof_millis=proof.time_millis)
            return self._open(tx, device_id)

        # Anybody may send garbage: it costs no transaction that others wait for.
        account_id = await self._database.read(look, by=caller.turn)
        return await self._database.write(work, by=account_id)

    async def delete(self, caller: Device) -> None:
        """End the session that asks, its open streams too."""

        def work(tx: Tx) -> None:
            if sessions.end(tx, caller.session_id):
                tx.record(credential.ended(caller.session_id))

        await self._database.write(work, by=caller.account_id)

    def _open(self, tx: Tx, device_id: str) -> NewSession:
        now = tx.now()
        for session_id in sessions.beyond(tx, device_id, _MOST - 1):
            sessions.end(tx, session_id)
            tx.record(credential.ended(session_id))
        token = new_secret("dt", tx.random)
        row = sessions.Kept(
            session_id=new_id("ses", now, tx.random),
            device_id=device_id,
            token_hash=hash_secret(token),
            create_time=now,
            expire_time=now + _GOOD_FOR,
        )
        sessions.ROWS.add(tx, row)
        return NewSession(token, row.expire_time, now)

"""Owns whether a device's signing key asks for a thing now."""

from datetime import datetime

from authy_grpc.domain import keys
from authy_grpc.domain.device import DeviceState, Proof, check_proof_time
from authy_grpc.domain.errors import BadCredential, BadSignature
from authy_grpc.store import device as devices
from authy_grpc.store.database import Session
from authy_grpc.store.tables import DeviceRow

# A point whose private half is known to all: what is signed with it still comes from no device.
_DECOY = keys.public_point(keys.new_private_key(bytes))


class Proofs:
    """Checks DeviceProofs."""

    def use(
        self, session: Session, device_id: str, method: str, proof: Proof, *names: str, now: datetime
    ) -> DeviceRow:
        """Check the proof of a device that calls with a token, and use it up.

        It is used up whatever else becomes of the call: from here on a work returns what it refuses.

        Args:
            session: of the work that the proof is for.
            device_id: of the device.
            method: such as `authy_grpc.v1.AccountService/RevokeDevice`.
            proof: as it came.
            names: what the request names, as the contract says at each proof.
            now: the time.

        Returns:
            The device, locked.

        Raises:
            BadCredential: as `check`.
            ClockSkew: as `check`.
        """
        device = self.check(session, devices.acting(session, device_id), method, proof, *names, now=now)
        device.last_proof_millis = proof.time_millis
        session.add(device)
        session.flush()
        return device

    def check(
        self,
        session: Session,
        device: DeviceRow | None,
        method: str,
        proof: Proof,
        *names: str,
        now: datetime,
    ) -> DeviceRow:
        """Check a proof, and lock the device as it is now.

        The caller then sets the device's `last_proof_millis` to the proof's time.

        Args:
            session: of the work that the proof is for.
            device: the device that asks; None, for one that is not known, takes as long to refuse.
            method: such as `authy_grpc.v1.AccountService/RevokeDevice`.
            proof: as it came.
            names: what the request names, as the contract says at each proof.
            now: the time.

        Returns:
            The device, locked.

        Raises:
            BadCredential: the signature is missing or does not verify, or the device is put out.
            ClockSkew: its time is off, or not later than the last.
        """
        point, device_id = (device.signing_key, device.device_id) if device else (_DECOY, "")
        try:
            keys.verify(
                point, keys.proof_message(device_id, method, proof.time_millis, *names), proof.signature
            )
        except BadSignature:
            raise BadCredential from None
        present = devices.lock(session, device_id)
        if present is None or present.state == DeviceState.REVOKED:
            raise BadCredential
        check_proof_time(proof.time_millis, present.last_proof_millis, now)
        return present

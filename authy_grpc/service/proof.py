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

    def check(
        self,
        session: Session,
        device: DeviceRow | None,
        method: str,
        proof: Proof,
        *names: str,
        now: datetime,
    ) -> None:
        """Check a proof, and lock the device as it is now.

        The caller then sets the device's `last_proof_millis` to the proof's time, whatever else becomes
        of the call: from there on it returns what it refuses.

        Args:
            session: of the work that the proof is for.
            device: the device that asks; None, for one that is not known, takes as long to refuse.
            method: such as `authy_grpc.v1.AccountService/RevokeDevice`.
            proof: as it came.
            names: what the request names, as the contract says at each proof.
            now: the time.

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

"""Checks proofs: a device's signature over a call and its time, each good once."""

from datetime import datetime

from authy_grpc.domain import keys
from authy_grpc.domain.device import DeviceState, Proof, check_proof_time
from authy_grpc.domain.errors import BadCredential, BadSignature, DeviceHeld
from authy_grpc.store import device as devices
from authy_grpc.store.tx import Tx

# A point whose private half is known to all: what is signed with it still comes from no device.
_DECOY = keys.public_point(keys.new_private_key(bytes))


def use(tx: Tx, device_id: str, method: str, proof: Proof, *names: str) -> devices.Kept:
    """Check the proof of a device that calls with a token, and use it up.

    It is used up whatever else becomes of the call: from here on a work returns what it refuses.

    Args:
        tx: of the work that the proof is for.
        device_id: of the device.
        method: such as `authy_grpc.v1.AccountService/RevokeDevice`.
        proof: as it came.
        names: what the request names, as the contract says at each proof.

    Returns:
        The device, locked.

    Raises:
        BadCredential: as `check`.
        ClockSkew: as `check`.
    """
    device = check(tx, devices.acting(tx, device_id), method, proof, *names)
    devices.ROWS.change(tx, device, last_proof_millis=proof.time_millis)
    return device


def act(tx: Tx, device_id: str, method: str, proof: Proof, *names: str) -> DeviceHeld | None:
    """Use up the proof of a call that is closed to a device which was let in by time not long ago.

    Which is every call that takes a proof, but CreateSession and RevokeDevice of the device itself.

    Args:
        tx, device_id, method, proof, names: as in `use`.

    Returns:
        What the work is to return where the device is limited, so that the proof stays used up.

    Raises:
        BadCredential, ClockSkew: as `use`.
    """
    device = use(tx, device_id, method, proof, *names)
    return DeviceHeld() if devices.is_limited(device, tx.now()) else None


def check(tx: Tx, device: devices.Kept, method: str, proof: Proof, *names: str) -> devices.Kept:
    """Check a proof, and lock the device as it is now.

    The caller then sets the device's `last_proof_millis` to the proof's time.

    Args:
        tx, method, proof, names: as in `use`.
        device: the device that asks.

    Returns:
        The device, locked.

    Raises:
        BadCredential: as `signed` and `fresh`.
        ClockSkew: as `fresh`.
    """
    signed(device, method, proof, *names)
    return fresh(devices.lock(tx, device.device_id), proof, tx.now())


def signed(device: devices.Kept | None, method: str, proof: Proof, *names: str) -> None:
    """Check a proof's signature, which needs no lock: the key of a device never changes.

    Args:
        device: the device that asks; None, for one that is not known, takes as long to refuse.
        method, proof, names: as in `use`.

    Raises:
        BadCredential: the signature is missing or does not verify.
    """
    point, device_id = (device.signing_key, device.device_id) if device else (_DECOY, "")
    message = keys.proof_message(device_id, method, proof.time_millis, *names)
    try:
        keys.verify(point, message, proof.signature)
    except BadSignature:
        raise BadCredential from None


def fresh(device: devices.Kept | None, proof: Proof, now: datetime) -> devices.Kept:
    """Check whether a proof, whose signature is right, counts now.

    Args:
        device: the device that asks, locked where the proof is to be used up.
        proof: as it came.
        now: the time.

    Returns:
        The device.

    Raises:
        BadCredential: the device is unknown or put out.
        ClockSkew: the proof's time is off, or not later than the last.
    """
    if device is None or device.state == DeviceState.REVOKED:
        raise BadCredential
    check_proof_time(proof.time_millis, device.last_proof_millis, now)
    return device

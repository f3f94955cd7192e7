"""What an authenticator may know of a site."""

from dataclasses import dataclass, field
from datetime import datetime

from authy_grpc.domain import keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A site that asks to be linked.

    Attributes:
        logo_id: empty where the site has no logo.
        origin: the site's own web origin.
        create_time: when the site asked.
        expire_time: until when it can be accepted.
        requires_code: whether the site will ask for a first code.
    """

    site_name: str
    logo_id: str
    origin: str
    create_time: datetime
    expire_time: datetime
    requires_code: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A link as its owner sees it on one device.

    Attributes:
        logo_id: empty where the site has no logo.
        origin: the site's own web origin.
        has_key: whether this device has a key for the site.
        label: the owner's own name for it; empty for none.
        awaiting_code: whether the link waits for its first code.
    """

    site_id: str
    name: str
    logo_id: str
    origin: str
    code_digits: int
    code_period_seconds: int
    create_time: datetime
    last_use_time: datetime | None = None
    has_key: bool
    label: str = field(default="", repr=False)
    awaiting_code: bool


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that a device brings for one link.

    Attributes:
        point: its public half, an uncompressed point.
        proof: by the key itself, over `keys.site_key_message`.
        signature: by the device's signing key, over the same.
    """

    point: bytes
    proof: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def check(self, device_id: str, signing_key: bytes, name: str) -> str:
        """Check that a device holds it.

        Args:
            device_id: of the device.
            signing_key: the device's, an uncompressed point.
            name: the bare token or the site_id.

        Returns:
            Its thumbprint.

        Raises:
            BadSignature: the device does not.
        """
        message = keys.site_key_message(device_id, name, self.point)
        keys.verify(self.point, message, self.proof)
        keys.verify(signing_key, message, self.signature)
        return keys.thumbprint(self.point)

"""The sites of a phone: linking one by its QR code, the key that each gets, and codes."""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime

import grpc
import pyotp
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from authy_grpc.domain import keys
from authy_grpc.phone.scan import read_qr, read_token
from authy_grpc.phone.session import Session
from authy_grpc.phone.state import State, new_key
from authy_grpc.v1 import authenticator_pb2
from authy_grpc.v1.authenticator_pb2_grpc import AuthenticatorServiceStub


@dataclass(frozen=True)
class Offer:
    """A site that asks to be linked.

    Attributes:
        token: of the enrollment, good once.
        site_name: as the operator has it.
        origin: the site's own web origin, as the operator has it.
        expire_time: until when it can be accepted.
    """

    token: str = field(repr=False)
    site_name: str
    origin: str
    expire_time: datetime


@dataclass(frozen=True)
class _ProvenKey:
    private: EllipticCurvePrivateKey
    point: bytes
    proof: bytes
    signature: bytes


class SiteCalls:
    """What a phone asks of AuthenticatorService about sites. Every call may raise PhoneError.

    Args:
        channel: to the service.
        session: of the device.
        origin: the service's public URL: QR codes of another are refused.
    """

    def __init__(self, channel: grpc.aio.Channel, session: Session, origin: str) -> None:
        self._authenticator = AuthenticatorServiceStub(channel)
        self._session = session
        self._origin = origin

    async def open(self, scanned: str | bytes) -> Offer:
        """Reads a scanned QR code: who asks.

        Args:
            scanned: the code's text, or an image of it (PNG or what else Pillow reads).
        """
        text = read_qr(scanned) if isinstance(scanned, bytes) else scanned
        token = read_token(text, self._origin)
        response = await self._session.call(
            self._authenticator.OpenEnrollment, authenticator_pb2.OpenEnrollmentRequest(token=token)
        )
        return Offer(token, response.site_name, response.origin, response.expire_time.ToDatetime(UTC))

    async def accept(self, offer: Offer) -> authenticator_pb2.Site:
        """Links the account to the site, with a new key that is kept before the site hears of it.

        Called again it brings the same key, so that a lost answer costs nothing.
        """
        key = self._new_key(offer.token)
        response = await self._session.call(
            self._authenticator.AcceptEnrollment,
            authenticator_pb2.AcceptEnrollmentRequest(
                token=offer.token, site_key=key.point, site_key_proof=key.proof, signature=key.signature
            ),
        )
        site_id = response.site.site_id
        self._session.keeper.change(lambda state: state.with_site(offer.token, site_id))
        return response.site

    async def reject(self, offer: Offer) -> None:
        """Refuses. The site learns that, and nothing of who refused."""
        await self._session.call(
            self._authenticator.RejectEnrollment, authenticator_pb2.RejectEnrollmentRequest(token=offer.token)
        )
        self._session.keeper.change(lambda state: state.without(offer.token))

    async def sites(self) -> list[authenticator_pb2.Site]:
        """The account's links. One site stands more than once where the owner has several users there."""
        response = await self._session.call(
            self._authenticator.ListSites, authenticator_pb2.ListSitesRequest()
        )
        return list(response.sites)

    async def add_key(self, site: authenticator_pb2.Site) -> authenticator_pb2.Site:
        """Gives a site that another device linked a key of this phone too: from then on its codes count."""
        return await self._add_key(site.site_id)

    async def code(self, site: authenticator_pb2.Site, at: datetime | None = None) -> str:
        """The code to type into a site (RFC 6238), which gets this phone's key first where it has none.

        Args:
            site: as `accept` or `sites` answered it.
            at: the time of the code, aware; the service's present time where None.
        """
        state = self._session.keeper.state
        if site.site_id not in state.site_keys:
            await self._add_key(site.site_id)
        secret = keys.totp_secret(
            keys.agree(state.agreement_key, state.server_agreement_key),
            site_id=site.site_id,
            device_id=state.device_id,
            agreement_key=keys.public_point(state.agreement_key),
            server_agreement_key=state.server_agreement_key,
        )
        otp = pyotp.TOTP(
            base64.b32encode(secret).decode(), digits=site.code_digits, interval=site.code_period_seconds
        )
        return otp.at(at or self._session.now())

    async def rename_site(self, site: authenticator_pb2.Site, label: str) -> authenticator_pb2.Site:
        """Gives a link the owner's own name, at most 40 characters."""
        response = await self._session.prove(
            self._authenticator.UpdateSite,
            "AuthenticatorService/UpdateSite",
            authenticator_pb2.UpdateSiteRequest(site_id=site.site_id, label=label),
            site.site_id,
            label,
        )
        return response.site

    async def remove_site(self, site: authenticator_pb2.Site) -> None:
        """Ends a link from the owner's side, and drops its key."""
        await self._session.prove(
            self._authenticator.RemoveSite,
            "AuthenticatorService/RemoveSite",
            authenticator_pb2.RemoveSiteRequest(site_id=site.site_id),
            site.site_id,
        )
        self._session.keeper.change(lambda state: state.without(site.site_id))

    async def _site_key(self, site_id: str) -> EllipticCurvePrivateKey:
        """The key that a site knows, which it gets first where it has none of this phone."""
        if site_id not in self._session.keeper.state.site_keys:
            await self._add_key(site_id)
        return self._session.keeper.state.site_keys[site_id]

    async def _add_key(self, site_id: str) -> authenticator_pb2.Site:
        key = self._new_key(site_id)
        response = await self._session.call(
            self._authenticator.AddSiteKey,
            authenticator_pb2.AddSiteKeyRequest(
                site_id=site_id, site_key=key.point, site_key_proof=key.proof, signature=key.signature
            ),
        )
        self._session.keeper.change(lambda state: state.with_site(site_id, site_id))
        return response.site

    def _new_key(self, name: str) -> _ProvenKey:
        state: State = self._session.keeper.change(lambda state: state.with_new_key(name, new_key()))
        private = state.new_keys.get(name) or state.site_keys[name]
        point = keys.public_point(private)
        message = keys.site_key_message(state.device_id, name, point)
        return _ProvenKey(private, point, keys.sign(private, message), keys.sign(state.signing_key, message))

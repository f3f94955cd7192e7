"""An authenticator as a library: for tests, for the demo, and for the command line.

async with Phone("127.0.0.1:50051", origin="http://127.0.0.1:8080") as phone:
    verification = await phone.start("+15005550006")
    await phone.register(verification, code, name="Pocket")
    site = await phone.accept(await phone.open(scanned))
    await phone.code(site)
"""

from authy_grpc.domain.receipts import Question
from authy_grpc.phone.errors import PhoneError
from authy_grpc.phone.inbox import Pending
from authy_grpc.phone.phone import Phone
from authy_grpc.phone.sites import Offer

__all__ = ["Offer", "Pending", "Phone", "PhoneError", "Question"]

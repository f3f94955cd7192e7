"""The list of all methods that are served, by their descriptors, and a well-formed request for each."""

import base64
import os
from collections.abc import Iterator

from google.protobuf import descriptor_pool
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from authy_grpc.rpc.auth import NEEDS
from authy_grpc.service.caller import Caller
from authy_grpc.v1 import account_pb2 as account
from authy_grpc.v1 import application_pb2 as application
from authy_grpc.v1 import approval_pb2 as approval
from authy_grpc.v1 import authenticator_pb2 as authenticator
from authy_grpc.v1 import credential_pb2 as credential
from authy_grpc.v1 import enrollment_pb2 as enrollment
from authy_grpc.v1 import event_pb2 as event
from authy_grpc.v1 import user_pb2 as user
from authy_grpc.v1 import verification_pb2 as verification
from authy_grpc.v1 import webhook_pb2 as webhook
from tests.harness import NUMBER, Service

_PACKAGE = "authy_grpc.v1"
# In the contract, and not built yet.
UNBUILT = frozenset({"AccountService/ChangePhone", "AccountService/SetPushSubscription"})


def path(name: str) -> str:
    """The path of `UserService/GetUser`."""
    return f"/{_PACKAGE}.{name}"


def served(service: Service) -> Iterator[str]:
    """Every method of every service that is registered, such as `UserService/GetUser`, but the unbuilt."""
    for registered in service.core.server._services:
        found = descriptor_pool.Default().FindServiceByName(registered.name)
        for method in found.methods:
            if (name := f"{found.name}/{method.name}") not in UNBUILT:
                yield name


def served_to(service: Service, kind: type[Caller]) -> set[str]:
    """Those that one kind of caller may call."""
    return {name for name in served(service) if NEEDS[path(name)].kind is kind}


def streams(name: str) -> bool:
    """Whether a method answers with a stream."""
    method = descriptor_pool.Default().FindMethodByName(f"{_PACKAGE}.{name.replace('/', '.')}")
    return bool(method.server_streaming)


# Ids of the right form that nothing has: what is asked is well formed, and finds nothing.
NO = "0" * 26
NO_TOKEN = "A" * 22
NO_USER = "1000000"
URL = "https://example.com/hook"
_POINT, _SIGNATURE = b"\x04" + bytes(64), bytes(64)
_PROOF = account.DeviceProof(time_millis=1, signature=_SIGNATURE)
_SITE_KEY = {"site_key": _POINT, "site_key_proof": _SIGNATURE, "signature": _SIGNATURE}

REQUESTS: dict[str, Message] = {
    "AccountService/StartPhoneVerification": account.StartPhoneVerificationRequest(phone_number=NUMBER),
    "AccountService/RegisterDevice": account.RegisterDeviceRequest(
        verification_id=f"pvn_{NO}",
        code="123456",
        name="Pocket",
        signing_key=_POINT,
        agreement_key=_POINT,
        signature=_SIGNATURE,
    ),
    "AccountService/CreateSession": account.CreateSessionRequest(device_id=f"dev_{NO}", proof=_PROOF),
    "AccountService/DeleteSession": account.DeleteSessionRequest(),
    "AccountService/GetAccount": account.GetAccountRequest(),
    "AccountService/UpdateAccount": account.UpdateAccountRequest(
        account=account.Account(phone_codes=False), update_mask=FieldMask(paths=["phone_codes"]), proof=_PROOF
    ),
    "AccountService/DeleteAccount": account.DeleteAccountRequest(proof=_PROOF),
    "AccountService/ListDevices": account.ListDevicesRequest(),
    "AccountService/UpdateDevice": account.UpdateDeviceRequest(
        device_id=f"dev_{NO}", name="Pocket", proof=_PROOF
    ),
    "AccountService/AcknowledgeDevice": account.AcknowledgeDeviceRequest(device_id=f"dev_{NO}", proof=_PROOF),
    "AccountService/ApproveDevice": account.ApproveDeviceRequest(
        device_id=f"dev_{NO}", check="123456", proof=_PROOF
    ),
    "AccountService/RevokeDevice": account.RevokeDeviceRequest(device_id=f"dev_{NO}", proof=_PROOF),
    "ApplicationService/CreateApplication": application.CreateApplicationRequest(
        application=application.Application(name="Example", origin="https://example.com")
    ),
    "ApplicationService/GetApplication": application.GetApplicationRequest(application_id=f"app_{NO}"),
    "ApplicationService/GetCurrentApplication": application.GetCurrentApplicationRequest(),
    "ApplicationService/ListApplications": application.ListApplicationsRequest(),
    "ApplicationService/UpdateApplication": application.UpdateApplicationRequest(
        application=application.Application(application_id=f"app_{NO}", name="Example"),
        update_mask=FieldMask(paths=["name"]),
    ),
    "ApplicationService/DeleteApplication": application.DeleteApplicationRequest(application_id=f"app_{NO}"),
    "ApplicationService/CreateApiKey": application.CreateApiKeyRequest(
        application_id=f"app_{NO}", name="backend"
    ),
    "ApplicationService/ListApiKeys": application.ListApiKeysRequest(application_id=f"app_{NO}"),
    "ApplicationService/RevokeApiKey": application.RevokeApiKeyRequest(api_key_id=f"key_{NO}"),
    "ApprovalService/CreateApproval": approval.CreateApprovalRequest(authy_id=NO_USER, message="Log in?"),
    "ApprovalService/GetApproval": approval.GetApprovalRequest(approval_id=f"apr_{NO}"),
    "ApprovalService/WatchApproval": approval.WatchApprovalRequest(approval_id=f"apr_{NO}"),
    "ApprovalService/CancelApproval": approval.CancelApprovalRequest(approval_id=f"apr_{NO}"),
    "AuthenticatorService/OpenEnrollment": authenticator.OpenEnrollmentRequest(token=NO_TOKEN),
    "AuthenticatorService/AcceptEnrollment": authenticator.AcceptEnrollmentRequest(
        token=NO_TOKEN,
        **_SITE_KEY,
    ),
    "AuthenticatorService/RejectEnrollment": authenticator.RejectEnrollmentRequest(token=NO_TOKEN),
    "AuthenticatorService/ListSites": authenticator.ListSitesRequest(),
    "AuthenticatorService/GetLogo": authenticator.GetLogoRequest(logo_id=NO),
    "AuthenticatorService/AddSiteKey": authenticator.AddSiteKeyRequest(
        site_id=f"sit_{NO}",
        **_SITE_KEY,
    ),
    "AuthenticatorService/UpdateSite": authenticator.UpdateSiteRequest(
        site_id=f"sit_{NO}", label="Mine", proof=_PROOF
    ),
    "AuthenticatorService/RemoveSite": authenticator.RemoveSiteRequest(site_id=f"sit_{NO}", proof=_PROOF),
    "AuthenticatorService/WatchInbox": authenticator.WatchInboxRequest(),
    "AuthenticatorService/RespondApproval": authenticator.RespondApprovalRequest(
        approval_id=f"apr_{NO}", receipt="a.b.c"
    ),
    "AuthenticatorService/ListActivity": authenticator.ListActivityRequest(),
    "CredentialService/Check": credential.CheckRequest(method="/authy_grpc.v1.UserService/GetUser"),
    "DeliveryService/LeaseDeliveries": webhook.LeaseDeliveriesRequest(max_in_flight=10),
    "DeliveryService/ReportDelivery": webhook.ReportDeliveryRequest(
        delivery_id=f"dlv_{NO}", http_status=200, attempt=1
    ),
    "EnrollmentService/CreateEnrollment": enrollment.CreateEnrollmentRequest(custom_user_id="nobody"),
    "EnrollmentService/GetEnrollment": enrollment.GetEnrollmentRequest(enrollment_id=f"enr_{NO}"),
    "EnrollmentService/WatchEnrollment": enrollment.WatchEnrollmentRequest(enrollment_id=f"enr_{NO}"),
    "EnrollmentService/ConfirmEnrollment": enrollment.ConfirmEnrollmentRequest(
        enrollment_id=f"enr_{NO}", code="123456"
    ),
    "EnrollmentService/CancelEnrollment": enrollment.CancelEnrollmentRequest(enrollment_id=f"enr_{NO}"),
    "EventService/WatchEvents": event.WatchEventsRequest(),
    "EventService/ListEvents": event.ListEventsRequest(),
    "UserService/GetUser": user.GetUserRequest(authy_id=NO_USER),
    "UserService/ListUsers": user.ListUsersRequest(),
    "UserService/DeleteUser": user.DeleteUserRequest(authy_id=NO_USER),
    "UserService/UnlockUser": user.UnlockUserRequest(authy_id=NO_USER),
    "VerificationService/VerifyCode": verification.VerifyCodeRequest(authy_id=NO_USER, code="123456"),
    "VerificationService/SendCode": verification.SendCodeRequest(authy_id=NO_USER),
    "VerificationService/CreateBackupCodes": verification.CreateBackupCodesRequest(authy_id=NO_USER),
    "WebhookService/CreateWebhook": webhook.CreateWebhookRequest(url=URL),
    "WebhookService/ListWebhooks": webhook.ListWebhooksRequest(),
    "WebhookService/UpdateWebhook": webhook.UpdateWebhookRequest(
        webhook=webhook.Webhook(webhook_id=f"whk_{NO}", url=URL), update_mask=FieldMask(paths=["url"])
    ),
    "WebhookService/DeleteWebhook": webhook.DeleteWebhookRequest(webhook_id=f"whk_{NO}"),
    "WebhookService/RotateWebhookSecret": webhook.RotateWebhookSecretRequest(webhook_id=f"whk_{NO}"),
    "WebhookService/TestWebhook": webhook.TestWebhookRequest(webhook_id=f"whk_{NO}"),
    "WebhookService/ListDeliveries": webhook.ListDeliveriesRequest(webhook_id=f"whk_{NO}"),
    "WebhookService/Redeliver": webhook.RedeliverRequest(webhook_id=f"whk_{NO}", event_id=f"evt_{NO}"),
}


def no_token(length: int) -> str:
    """What has the form of a page token or a cursor, and was never given out."""
    return base64.urlsafe_b64encode(os.urandom(length)).decode()[:length]

"""Serves WebhookService."""

from typing import Any

from authy_grpc.domain.delivery import Delivery
from authy_grpc.domain.webhook import Webhook, WebhookState
from authy_grpc.rpc import auth, encode
from authy_grpc.rpc.call import Context
from authy_grpc.service.webhook import Webhooks
from authy_grpc.store.fair import in_slices
from authy_grpc.v1 import webhook_pb2 as pb
from authy_grpc.v1.webhook_pb2_grpc import WebhookServiceServicer


class WebhookServicer(WebhookServiceServicer):
    """Where a relying site has its events posted."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    async def CreateWebhook(
        self, request: pb.CreateWebhookRequest, context: Context
    ) -> pb.CreateWebhookResponse:
        made = await self._webhooks.create(auth.site(), request.url, list(request.types))
        return pb.CreateWebhookResponse(webhook=_webhook(made.webhook), secret=made.secret)

    async def ListWebhooks(
        self, request: pb.ListWebhooksRequest, context: Context
    ) -> pb.ListWebhooksResponse:
        found = await self._webhooks.list_all(auth.site())
        return pb.ListWebhooksResponse(webhooks=[_webhook(each) for each in found])

    async def UpdateWebhook(
        self, request: pb.UpdateWebhookRequest, context: Context
    ) -> pb.UpdateWebhookResponse:
        changed = await self._webhooks.update(auth.site(), request.webhook.webhook_id, _changes(request))
        return pb.UpdateWebhookResponse(webhook=_webhook(changed))

    async def DeleteWebhook(
        self, request: pb.DeleteWebhookRequest, context: Context
    ) -> pb.DeleteWebhookResponse:
        await self._webhooks.delete(auth.site(), request.webhook_id)
        return pb.DeleteWebhookResponse()

    async def RotateWebhookSecret(
        self, request: pb.RotateWebhookSecretRequest, context: Context
    ) -> pb.RotateWebhookSecretResponse:
        overlap = encode.span_or_none(request, "overlap")
        secret = await self._webhooks.rotate_secret(auth.site(), request.webhook_id, overlap)
        return pb.RotateWebhookSecretResponse(secret=secret)

    async def TestWebhook(self, request: pb.TestWebhookRequest, context: Context) -> pb.TestWebhookResponse:
        event_id = await self._webhooks.test(auth.site(), request.webhook_id)
        return pb.TestWebhookResponse(event_id=event_id)

    async def ListDeliveries(
        self, request: pb.ListDeliveriesRequest, context: Context
    ) -> pb.ListDeliveriesResponse:
        found, token = await self._webhooks.list_deliveries(
            auth.site(), request.webhook_id, request.page_size, request.page_token
        )
        return pb.ListDeliveriesResponse(deliveries=await in_slices(_delivery, found), next_page_token=token)

    async def Redeliver(self, request: pb.RedeliverRequest, context: Context) -> pb.RedeliverResponse:
        count = await self._webhooks.redeliver(
            auth.site(),
            request.webhook_id,
            event_id=request.event_id,
            failed_since=encode.time_or_none(request, "failed_since"),
        )
        return pb.RedeliverResponse(count=count)


def _changes(request: pb.UpdateWebhookRequest) -> dict[str, Any]:
    """What the mask names."""
    message = request.webhook
    values = {"url": message.url, "types": list(message.types)}
    if "state" in request.update_mask.paths:
        values["state"] = WebhookState(pb.WebhookState.Name(message.state).removeprefix("WEBHOOK_STATE_"))
    return {path: values[path] for path in request.update_mask.paths}


def _webhook(value: Webhook) -> pb.Webhook:
    return pb.Webhook(
        webhook_id=value.webhook_id,
        url=value.url,
        types=value.types,
        state=pb.WebhookState.Value(f"WEBHOOK_STATE_{value.state}"),
        disabled_reason=value.disabled_reason,
        create_time=encode.timestamp(value.create_time),
        last_success_time=encode.timestamp(value.last_success_time),
    )


def _delivery(value: Delivery) -> pb.Delivery:
    return pb.Delivery(
        delivery_id=value.delivery_id,
        event_id=value.event_id,
        event_type=value.event_type,
        state=pb.DeliveryState.Value(f"DELIVERY_STATE_{value.state}"),
        attempts=value.attempts,
        http_status=value.http_status,
        error=value.error,
        duration=encode.duration(value.duration),
        last_attempt_time=encode.timestamp(value.last_attempt_time),
        next_attempt_time=encode.timestamp(value.next_attempt_time),
    )

"""Serves DeliveryService, and writes the text of a post."""

import json

from google.protobuf.json_format import MessageToDict

from authy_grpc.rpc import auth, encode
from authy_grpc.rpc.call import Context
from authy_grpc.rpc.streams import Streams
from authy_grpc.service.delivery import Deliveries, Post
from authy_grpc.service.outcome import Report
from authy_grpc.store.events import Recorded
from authy_grpc.v1 import webhook_pb2 as pb
from authy_grpc.v1.webhook_pb2_grpc import DeliveryServiceServicer


class DeliveryServicer(DeliveryServiceServicer):
    """Hands due posts to gateways and takes back what became of them."""

    def __init__(self, deliveries: Deliveries, streams: Streams) -> None:
        self._deliveries = deliveries
        self._streams = streams

    async def LeaseDeliveries(  # type: ignore[override]
        self, request: pb.LeaseDeliveriesRequest, context: Context
    ) -> None:
        posts = self._deliveries.lease(auth.gateway(), request.max_in_flight)
        await self._streams.relay(context, posts, _post)

    async def ReportDelivery(
        self, request: pb.ReportDeliveryRequest, context: Context
    ) -> pb.ReportDeliveryResponse:
        await self._deliveries.report(auth.gateway(), _report(request))
        return pb.ReportDeliveryResponse()


def write_body(event: Recorded) -> str:
    """The text of a post: the event as REST answers it, beside what Standard Webhooks asks for."""
    data = MessageToDict(encode.event(event), always_print_fields_with_no_presence=True)
    body = {"type": event.type, "timestamp": data["createTime"], "data": data}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _post(value: Post) -> pb.LeaseDeliveriesResponse:
    return pb.LeaseDeliveriesResponse(
        delivery_id=value.delivery_id,
        url=value.url,
        headers=value.headers,
        body=value.body,
        lease_expire_time=encode.timestamp(value.lease_expire_time),
        attempt=value.attempt,
        allow=value.allow,
    )


def _report(request: pb.ReportDeliveryRequest) -> Report:
    return Report(
        delivery_id=request.delivery_id,
        attempt=request.attempt,
        http_status=request.http_status,
        error=request.error,
        duration=request.duration.ToTimedelta(),
        retry_after=encode.span_or_none(request, "retry_after"),
    )

"""Serves EventService."""

from authy_grpc.rpc import auth, encode
from authy_grpc.rpc.call import Context
from authy_grpc.rpc.streams import Streams
from authy_grpc.service.event import Feed, FeedItem
from authy_grpc.store.fair import in_slices
from authy_grpc.v1 import event_pb2 as pb
from authy_grpc.v1.event_pb2_grpc import EventServiceServicer


class EventServicer(EventServiceServicer):
    """All that happens to a relying site's users, in order."""

    def __init__(self, feed: Feed, streams: Streams) -> None:
        self._feed = feed
        self._streams = streams

    async def WatchEvents(  # type: ignore[override]
        self, request: pb.WatchEventsRequest, context: Context
    ) -> None:
        items = self._feed.watch(auth.site(), request.cursor, list(request.types))
        await self._streams.relay(context, items, _item)

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        page = await self._feed.list_page(auth.site(), request.cursor, list(request.types), request.page_size)
        events = await in_slices(encode.event, page.events)
        return pb.ListEventsResponse(events=events, cursor=page.cursor, has_more=page.has_more)


def _item(item: FeedItem) -> pb.WatchEventsResponse:
    event = encode.event(item.event) if item.event else None
    return pb.WatchEventsResponse(event=event, cursor=item.cursor)

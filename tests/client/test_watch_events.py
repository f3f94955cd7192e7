"""The watcher of the feed: it resumes by itself, and loses and repeats nothing."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from authy_grpc.client import Client, CursorExpired
from authy_grpc.v1.event_pb2 import (
    Event,
    ListEventsRequest,
    ListEventsResponse,
    WatchEventsRequest,
    WatchEventsResponse,
)
from tests.threads import Event as Flag


def _events(*cursors: str) -> Iterator[WatchEventsResponse]:
    """Yields an event for each cursor; a checkpoint for one that ends in a dash."""
    for cursor in cursors:
        event = None if cursor.endswith("-") else Event(event_id=f"evt_{cursor}")
        yield WatchEventsResponse(event=event, cursor=cursor)


def test_a_feed_resumes_from_its_last_cursor(serve: Any, refuse: Any, caller: Any) -> None:
    asked = []

    def watch(request: WatchEventsRequest, context: grpc.ServicerContext) -> Any:
        asked.append((request.cursor, list(request.types)))
        first = int(request.cursor.rstrip("-")) + 1
        yield from _events(str(first), str(first + 1), f"{first + 2}-")
        if len(asked) < 4:
            refuse(context, "DRAINING")

    taken = caller.take(9, serve(WatchEvents=watch), "watch_events", "0", types=("approval.*",))
    assert [item.event.event_id for item in taken] == [
        f"evt_{number}" for number in (1, 2, 4, 5, 7, 8, 10, 11, 13)
    ]
    assert [item.cursor for item in taken[:3]] == ["1", "2", "4"]
    # The fourth ended with OK, which a feed never does by itself.
    assert [cursor for cursor, _ in asked] == ["0", "3-", "6-", "9-", "12-"]
    assert all(types == ["approval.*"] for _, types in asked)
    # Progress each time: no wait grows.
    assert all(wait <= 0.1 for wait in caller.sleeps)


def test_checkpoints_come_where_asked_for(serve: Any, caller: Any) -> None:
    def watch(request: WatchEventsRequest, context: grpc.ServicerContext) -> Any:
        yield from _events("1", "2-", "3", "4-", "5")

    target = serve(WatchEvents=watch)
    every = caller.take(4, target, "watch_events", "0", checkpoints=True)
    assert [(item.event.event_id, item.cursor) for item in every] == [
        ("evt_1", "1"),
        ("", "2-"),
        ("evt_3", "3"),
        ("", "4-"),
    ]
    assert [item.cursor for item in caller.take(3, target, "watch_events", "0")] == ["1", "3", "5"]


def test_what_happens_before_the_first_message_is_not_lost(serve: Any, refuse: Any, caller: Any) -> None:
    """A feed of an event a second connection; `now` is where a stream without a cursor would begin."""
    now = 10
    listed = []

    def list_events(request: ListEventsRequest, context: grpc.ServicerContext) -> ListEventsResponse:
        listed.append((request.cursor, list(request.types)))
        if len(listed) == 1:
            refuse(context, "BACKEND")
        return ListEventsResponse(cursor=str(now))

    def watch(request: WatchEventsRequest, context: grpc.ServicerContext) -> Any:
        nonlocal now
        first = int(request.cursor or now) + 1
        now += 1
        if now < 13:
            refuse(context, "DRAINING")
        yield from _events(*(str(number) for number in range(first, now + 1)))

    taken = caller.take(
        3, serve(ListEvents=list_events, WatchEvents=watch), "watch_events", types=("code.*",)
    )
    assert [item.cursor for item in taken] == ["11", "12", "13"]
    assert listed == [("", ["code.*"])] * 2


def test_a_feed_that_cannot_be_reached_at_first_is_tried_for_longer_than_a_call(
    serve: Any, refuse: Any, caller: Any
) -> None:
    listed = []

    def list_events(request: ListEventsRequest, context: grpc.ServicerContext) -> ListEventsResponse:
        listed.append(request)
        if len(listed) < 12:
            refuse(context, "BACKEND")
        return ListEventsResponse(cursor="0")

    def watch(request: WatchEventsRequest, context: grpc.ServicerContext) -> Any:
        yield from _events("1")

    assert len(caller.take(1, serve(ListEvents=list_events, WatchEvents=watch), "watch_events")) == 1


def test_an_expired_cursor_is_told(serve: Any, refuse: Any, caller: Any) -> None:
    def watch(request: WatchEventsRequest, context: grpc.ServicerContext) -> Any:
        refuse(context, "CURSOR_EXPIRED", "OUT_OF_RANGE")
        yield

    with pytest.raises(CursorExpired):
        caller.take(None, serve(WatchEvents=watch), "watch_events", "old")
    assert caller.sleeps == []


def test_a_silent_feed_is_left_for_another(serve: Any, caller: Any) -> None:
    asked = []
    left = Flag()

    def watch(request: WatchEventsRequest, context: grpc.ServicerContext) -> Any:
        asked.append(request.cursor)
        if len(asked) == 1:
            yield from _events("1")
            context.add_callback(left.set)
            left.wait()
        yield from _events("2")

    taken = caller.take(2, serve(WatchEvents=watch), "watch_events", "0", silence=1)
    assert [item.cursor for item in taken] == ["1", "2"]
    assert asked == ["0", "1"]
    assert left.wait(5)


def test_a_slow_reader_is_not_silence(serve: Any) -> None:
    asked = []
    left = Flag()

    def watch(request: WatchEventsRequest, context: grpc.ServicerContext) -> Any:
        asked.append(request.cursor)
        context.add_callback(left.set)
        yield from _events("1", "2")
        left.wait()

    with Client(serve(WatchEvents=watch), "ak_1", silence=1) as client:
        feed = client.watch_events("0")
        next(feed)
        assert not left.wait(1.5)
        assert next(feed).cursor == "2"
    assert asked == ["0"]

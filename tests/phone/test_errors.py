"""What a caller of the phone is told when a call fails."""

from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2

from authy_grpc.phone import Phone, PhoneError

pytestmark = pytest.mark.asyncio


async def test_reason_metadata_and_delay_are_read(phone: Phone, service: Any, refusal: Any) -> None:
    wait = timedelta(seconds=30)
    service.refusals["ListDevices"] = [
        refusal(code_pb2.RESOURCE_EXHAUSTED, "RATE_LIMITED", wait, limit="3"),
        refusal(code_pb2.FAILED_PRECONDITION, "ERROR_REASON_DEVICE_HELD"),
    ]
    with pytest.raises(PhoneError) as caught:
        await phone.devices()
    assert (caught.value.reason, caught.value.code) == ("RATE_LIMITED", grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert (caught.value.retry_delay, caught.value.metadata) == (wait, {"limit": "3"})
    with pytest.raises(PhoneError, match="DEVICE_HELD: no") as caught:
        await phone.devices()
    assert (caught.value.retry_delay, caught.value.metadata) == (None, {})


async def test_a_service_out_of_reach_has_a_code_and_no_reason() -> None:
    async with Phone("127.0.0.1:1", origin="http://127.0.0.1:8080") as phone:
        with pytest.raises(PhoneError) as caught:
            await phone.start("+15005550006")
    assert (caught.value.reason, caught.value.code) == ("", grpc.StatusCode.UNAVAILABLE)
    assert "5005550006" not in str(caught.value)


async def test_where_the_scheme_says_so_a_service_is_reached_by_tls_alone(target: str, service: Any) -> None:
    async with Phone(f"grpcs://{target}", origin="http://127.0.0.1:8080") as phone:
        with pytest.raises(PhoneError) as caught:
            await phone.start("+15005550006")
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE
    assert service.calls == []

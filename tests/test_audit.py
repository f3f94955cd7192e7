"""The audit trail: what an operator does, and what changes who may call, one line an act."""

import io
import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from authy_grpc import audit
from authy_grpc.client import AsyncClient, AuthyError
from authy_grpc.domain.ids import new_secret
from authy_grpc.settings import Settings
from authy_grpc.v1.application_pb2 import (
    CreateApiKeyRequest,
    DeleteApplicationRequest,
    GetCurrentApplicationRequest,
    ListApplicationsRequest,
    RevokeApiKeyRequest,
)
from tests.clock import TurnedClock
from tests.harness import Service

NAME = "Northwind canary"


def acts(service: Service) -> list[dict[str, Any]]:
    """The lines of the audit trail, oldest first."""
    lines = [json.loads(line) for line in service.log.getvalue().splitlines()]
    return [line for line in lines if line.get("logger") == audit.LOGGER]


async def test_each_act_of_an_operator_is_a_line(service: Service) -> None:
    site = await service.site()
    own = site.application.application_id
    made = await service.operator.applications.CreateApiKey(
        CreateApiKeyRequest(application_id=own, name=NAME)
    )
    key = made.api_key.api_key_id
    await service.operator.applications.RevokeApiKey(RevokeApiKeyRequest(api_key_id=key))
    with pytest.raises(AuthyError):
        await service.operator.applications.RevokeApiKey(RevokeApiKeyRequest(api_key_id="key_none"))
    await service.operator.applications.DeleteApplication(DeleteApplicationRequest(application_id=own))

    told = acts(service)
    assert [(line["event"], line["outcome"]) for line in told[-4:]] == [
        ("CreateApiKey", "OK"),
        ("RevokeApiKey", "OK"),
        ("RevokeApiKey", "NOT_FOUND"),
        ("DeleteApplication", "OK"),
    ]
    assert {line["actor"] for line in told} == {"operator:home"}
    assert (told[-4]["application_id"], told[-4]["api_key_id"]) == (own, key)
    assert told[-3]["api_key_id"] == key and told[-1]["application_id"] == own
    assert all(line["request_id"] and line["time"] for line in told)
    assert NAME not in json.dumps(told) and made.secret not in json.dumps(told)


async def test_a_key_in_the_place_of_an_id_is_not_told(service: Service) -> None:
    """Whoever pastes the key itself, or a number, finds it in no line."""
    pasted = (new_secret("ak", os.urandom), "+4915112345678", "key_\nforged", "app_" + "0" * 27)
    calls = service.operator.applications
    for each in pasted:
        with pytest.raises(AuthyError):
            await calls.RevokeApiKey(RevokeApiKeyRequest(api_key_id=each))
        with pytest.raises(AuthyError):
            await calls.DeleteApplication(DeleteApplicationRequest(application_id=each))
    await calls.ListApplications(ListApplicationsRequest())
    told = acts(service)
    assert len(told) == 2 * len(pasted) + 1
    assert not any({"api_key_id", "application_id"} & line.keys() for line in told)
    assert not any(each.strip() in json.dumps(told) for each in (*pasted, "forged"))


async def test_what_a_site_does_is_no_act(service: Service) -> None:
    site = await service.site()
    before = len(acts(service))
    await site.client.application.GetCurrentApplication(GetCurrentApplicationRequest())
    assert len(acts(service)) == before > 0


async def test_an_account_that_is_erased_is_a_line(service: Service) -> None:
    phone = await service.phone()
    await phone.delete_account()
    last = acts(service)[-1]
    assert (last["event"], last["actor"].partition(":")[0]) == ("DeleteAccount", "device")
    assert last["account_id"].startswith("acc_")


async def test_operator_keys_have_names_and_are_revoked_one_by_one(service: Service) -> None:
    deploy = await service.core.operator_keys.create("deploy")
    other = await service.core.operator_keys.create("anna")
    async with (
        AsyncClient(service.target, deploy.secret) as client,
        AsyncClient(service.target, other.secret) as second,
    ):
        await client.applications.ListApplications(ListApplicationsRequest())
        last = acts(service)[-1]
        assert (last["actor"], last["operator_key_id"]) == ("operator:deploy", deploy.operator_key_id)

        await service.core.operator_keys.revoke("deploy")
        with pytest.raises(AuthyError) as caught:
            await client.applications.ListApplications(ListApplicationsRequest())
        assert caught.value.reason == "BAD_CREDENTIAL"
        await second.applications.ListApplications(ListApplicationsRequest())
        await service.operator.applications.ListApplications(ListApplicationsRequest())
    assert [each.name for each in await service.core.operator_keys.listed()] == ["anna"]
    # A name is free again once its key is revoked.
    assert (await service.core.operator_keys.create("deploy")).operator_key_id != deploy.operator_key_id


async def test_a_revoked_key_is_refused_by_every_server_within_a_second(service: Service) -> None:
    """Though one of them has used it a moment ago, and another one has revoked it."""
    made = await service.core.operator_keys.create("stolen")
    async with (
        Service(service.url, service.clock, service.random, service.secrets) as second,
        AsyncClient(service.target, made.secret) as first_client,
        AsyncClient(second.target, made.secret) as second_client,
    ):
        for client in (first_client, second_client):
            await client.applications.ListApplications(ListApplicationsRequest())
        await service.core.operator_keys.revoke("stolen")
        service.clock.turn(seconds=1)
        for client in (first_client, second_client):
            with pytest.raises(AuthyError) as caught:
                await client.applications.ListApplications(ListApplicationsRequest())
            assert caught.value.reason == "BAD_CREDENTIAL"


def test_the_systems_user_is_the_process_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may set these, and would sign with another's name."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert audit.system_user() == f"system:{pwd.getpwuid(os.getuid()).pw_name}"


def test_settings_are_told_without_secrets() -> None:
    given = Settings(
        database_url="postgresql://user:hunter2@db/authy",  # type: ignore[arg-type]
        sms_url="twilio://SID:hunter2@/FROM",  # type: ignore[arg-type]
        listen="127.0.0.1:1",
    )
    told = json.dumps(audit.public(given))
    assert "hunter2" not in told and '"database_url": true' in told and "127.0.0.1:1" in told


def test_a_file_of_its_own_is_added_to(tmp_path: Path) -> None:
    clock, path, stream = TurnedClock(), tmp_path / "audit.log", io.StringIO()
    trail = audit.build(path, stream, clock)
    trail.act("Start", "system:root", settings={"listen": "x"})
    path.rename(tmp_path / "rotated")
    trail.act("Start", "system:root", settings={"listen": "x"})
    trail.act("Start", "system:root", settings={"listen": "x"})
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["Start", "Start"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert stream.getvalue() == ""


def test_a_file_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        audit.build(tmp_path / "none" / "audit.log", None, TurnedClock())

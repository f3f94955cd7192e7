"""Which address leads to which call."""

import pytest

from gateway.routes import Route, Table, contract
from tests.gateway.everything import ROUTES

TABLE, OURS = Table(ROUTES), Table(contract())


def found(table: Table, verb: str, path: str) -> str:
    routes, _ = table.find(path)
    return routes[verb].template if verb in routes else ""


@pytest.mark.parametrize(
    ("verb", "path", "template"),
    [
        ("GET", "/v1/users/1000000", "/v1/users/{authy_id}"),
        ("DELETE", "/v1/users/1000000", "/v1/users/{authy_id}"),
        ("GET", "/v1/users:lookup", "/v1/users:lookup"),
        ("GET", "/v1/users", "/v1/users"),
        ("POST", "/v1/users/1000000:verifyCode", "/v1/users/{authy_id}:verifyCode"),
        ("GET", "/v1/users/1000000%3AverifyCode", "/v1/users/{authy_id}"),
        ("GET", "/v1/users/a%2Fb", "/v1/users/{authy_id}"),
        ("GET", "/v1/enrollments/x:watch", "/v1/enrollments/{enrollment_id}:watch"),
        ("PATCH", "/v1/webhooks/whk_1", "/v1/webhooks/{webhook.webhook_id}"),
        ("DELETE", "/v1/webhooks/whk_1", "/v1/webhooks/{webhook_id}"),
        ("POST", "/v1/users/1000000", ""),
        ("GET", "/v1/users/", ""),
        ("GET", "/v1/users/1000000/", ""),
        ("GET", "//v1/users", ""),
        ("GET", "/v1/users/1000000:verifyCode", ""),
        ("POST", "/v1/users/1000000:nothing", ""),
        ("POST", "/v1/users/1:2:verifyCode", ""),
        ("GET", "/V1/users", ""),
        ("GET", "/", ""),
        ("GET", "", ""),
        ("GET", "*", ""),
    ],
)
def test_an_address_of_the_contract_leads_to_its_call(verb: str, path: str, template: str) -> None:
    assert found(OURS, verb, path) == template


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1/files/a/b/c", "/v1/files/{text=**}"),
        ("/v1/files", "/v1/files/{text=**}"),
        ("/v1/files/a/b:read", "/v1/files/{text=**}:read"),
        ("/v1/shelves/shelves/1/books/2", "/v1/shelves/{text=shelves/*/books/*}"),
        ("/v1/shelves/shelves/1/pages/2", ""),
        ("/v1/any/thing/1", "/v1/any/*/{text}"),
        ("/v1/everything/1/inner/2", "/v1/everything/{text}/inner/{inner.text}"),
    ],
)
def test_wildcards_lead_where_they_say(path: str, template: str) -> None:
    assert found(TABLE, "GET", path) == template


def test_every_rule_of_the_contract_has_its_route_and_its_own_address() -> None:
    templates = [(route.verb, route.template) for route in contract()]
    assert len(templates) == len(set(templates)) > 50
    assert {route.path for route in contract()} >= {
        "/authy_grpc.v1.UserService/GetUser",
        "/authy_grpc.v1.EventService/WatchEvents",
    }
    # It has no rule: gateways alone call it, over gRPC.
    assert not any("DeliveryService" in route.path for route in contract())


def test_a_call_without_a_rule_has_no_route_and_one_with_many_has_all() -> None:
    assert {route.rpc.name for route in ROUTES} == {"Echo", "Patch"}
    assert ("REPORT", "/v1/everything") in {(route.verb, route.template) for route in ROUTES}


def test_two_rules_for_one_address_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Table([*ROUTES, twin(ROUTES[0])])


def twin(route: Route) -> Route:
    return Route(
        route.rpc, route.verb, route.template, route.body, route.response_body, route.segments, (), ""
    )


@pytest.mark.parametrize("route", [each for each in contract() if each.streams], ids=str)
def test_streams_that_can_be_resumed_tell_where_they_are(route: Route) -> None:
    assert bool(route.resume) == bool(route.position)

"""Connects an operator's command to the service, and finds what a name means."""

from collections.abc import Iterator
from contextlib import contextmanager

from authy_grpc.cli.failure import Failure, extra
from authy_grpc.cli.reaching import explained
from authy_grpc.client import AuthyError, Client
from authy_grpc.v1 import application_pb2

_KEY_FILE = "operator.key"


@contextmanager
def connect(server: str) -> Iterator[Client]:
    """A connection with the operator key, of AUTHY_OPERATOR_KEY or of the home's secrets.

    Raises:
        Failure: there is no key, or the service has another.
        HomeError: the key has not its form, or others can read it.
    """
    with extra("server"):
        from authy_grpc.home import read_operator_key, secrets_folder
        from authy_grpc.settings import Settings
    settings = Settings()
    key = settings.operator_key.get_secret_value()
    path = secrets_folder(settings) / _KEY_FILE
    if not key and not path.exists():
        raise Failure(
            f"There is no operator key: AUTHY_OPERATOR_KEY is not set, and {path} is missing.",
            "Set AUTHY_HOME to the folder that `authy-grpc serve` has named.",
        )
    with explained(server), Client(server, read_operator_key(settings)) as client:
        try:
            yield client
        except AuthyError as error:
            if error.reason != "BAD_CREDENTIAL":
                raise
            source = "AUTHY_OPERATOR_KEY" if key else str(path)
            raise Failure(
                f"The service at {server} has another operator key than {source}.",
                "Set AUTHY_HOME (or AUTHY_OPERATOR_KEY) and AUTHY_SERVER of one and the same installation.",
            ) from error


def applications(client: Client) -> list[application_pb2.Application]:
    """All relying sites, oldest first."""
    found: list[application_pb2.Application] = []
    token = ""
    while True:
        request = application_pb2.ListApplicationsRequest(page_size=1000, page_token=token)
        page = client.applications.ListApplications(request)
        found.extend(page.applications)
        token = page.next_page_token
        if not token:
            return found


def find(client: Client, name: str) -> str:
    """The id of a relying site.

    Args:
        client: the operator's.
        name: its `app_…`, or a name that only one has.

    Raises:
        Failure: none has the name, or several.
    """
    if name.startswith("app_"):
        return name
    found = [each for each in applications(client) if each.name == name]
    if not found:
        raise Failure(f"No relying site is named {name!r}.", "`authy-grpc application list` shows them.")
    if len(found) > 1:
        ids = ", ".join(f"{each.application_id} ({each.origin})" for each in found)
        raise Failure(f"{len(found)} relying sites are named {name!r}: use an id.", f"One of: {ids}")
    return found[0].application_id

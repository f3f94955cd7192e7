"""Page tokens: where a list goes on, sealed, and good for one owner, method and filter alone."""

from authy_grpc.domain.encoding import base64url, base64url_decode
from authy_grpc.domain.errors import BadField
from authy_grpc.store.vault import KeysetError, Vault

_DEFAULT = 100
_MOST = 1000


def size(page_size: int) -> int:
    """How many to list: 100 where unset, 1000 at most."""
    return min(page_size or _DEFAULT, _MOST)


def seal_token(vault: Vault, owner: str, method: str, key: str) -> str:
    """A token that goes on after a row.

    Args:
        vault: seals it.
        owner: whose list it is: an application, an account or the operator.
        method: the list, and its filter where it has one.
        key: the sort key of the last row.
    """
    return base64url(vault.seal("page", f"{owner}\n{method}", key.encode()))


def open_token(vault: Vault, owner: str, method: str, token: str) -> str:
    """The sort key in a token; empty for an empty one.

    Raises:
        BadField: it is not one that this list answered to this owner.
    """
    if not token:
        return ""
    try:
        return vault.open("page", f"{owner}\n{method}", base64url_decode(token)).decode()
    except (ValueError, KeysetError) as error:
        raise BadField.one("page_token", "is not one that this list answered") from error

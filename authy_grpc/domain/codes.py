"""Draws codes: sent, match, backup and recovery codes. Soft tokens are computed, in `totp.py`."""

from collections.abc import Callable

from authy_grpc.domain.encoding import CROCKFORD, base32, fold
from authy_grpc.domain.ids import below

SENT_DIGITS = 6
_BACKUP_CODES = 10
_BACKUP_BYTES = 10
_BACKUP_CHARACTERS = 16


def sent_code(random: Callable[[int], bytes]) -> str:
    """Draws a code to be sent.

    Args:
        random: gives that many random bytes.

    Returns:
        6 digits, leading zeros kept.
    """
    return match_number(random, SENT_DIGITS)


def match_number(random: Callable[[int], bytes], digits: int) -> str:
    """Draws the number that a user carries from the site to the authenticator.

    Args:
        random: gives that many random bytes.
        digits: how many; 0 for none.

    Returns:
        That many digits, leading zeros kept.
    """
    return f"{below(10**digits, random):0{digits}d}" if digits else ""


def backup_codes(random: Callable[[int], bytes]) -> list[str]:
    """Draws a user's backup codes.

    Args:
        random: gives that many random bytes.

    Returns:
        Ten codes of 80 bits, 16 base32 characters each.
    """
    return [base32(random(_BACKUP_BYTES)) for _ in range(_BACKUP_CODES)]


def recovery_code(random: Callable[[int], bytes]) -> str:
    """Draws the code that opens an account whose devices are lost.

    Args:
        random: gives that many random bytes.

    Returns:
        80 bits, 16 base32 characters.
    """
    return base32(random(_BACKUP_BYTES))


def is_backup_shape(text: str) -> bool:
    """Tells whether a text could be a backup or recovery code.

    Args:
        text: as typed.

    Returns:
        True where it folds to 16 base32 characters.
    """
    folded = fold(text)
    return len(folded) == _BACKUP_CHARACTERS and set(folded) <= set(CROCKFORD)

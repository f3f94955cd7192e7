"""The words of a message that brings a code to a phone: this service's own, in a few languages.

What a code is for is told by a table: a site's own words in a message by us would help whoever phishes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from authy_grpc.domain.user import Factor

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Language:
    sentence: str
    purposes: Mapping[str, str]
    other: str


_ENGLISH = _Language(
    "{site}: {code} is your code{purpose}. Good for {minutes} min. Share it with nobody.",
    {
        "": "",
        "login": " to sign in",
        "payment": " to confirm a payment",
        "transfer": " to confirm a transfer",
        "password": " to change your password",
    },
    " to confirm an action",
)
_LANGUAGES = {
    "de": _Language(
        "{site}: {code} ist Ihr Code{purpose}. Gilt {minutes} min. Geben Sie ihn an niemanden weiter.",
        {
            "": "",
            "login": " zum Anmelden",
            "payment": " zum Bestätigen einer Zahlung",
            "transfer": " zum Bestätigen einer Überweisung",
            "password": " zum Ändern Ihres Passworts",
        },
        " zum Bestätigen eines Vorgangs",
    ),
    "es": _Language(
        "{site}: {code} es su código{purpose}. Válido {minutes} min. No lo comparta con nadie.",
        {
            "": "",
            "login": " para iniciar sesión",
            "payment": " para confirmar un pago",
            "transfer": " para confirmar una transferencia",
            "password": " para cambiar su contraseña",
        },
        " para confirmar una operación",
    ),
    "fr": _Language(
        "{site} : {code} est votre code{purpose}. Valable {minutes} min. Ne le communiquez à personne.",
        {
            "": "",
            "login": " de connexion",
            "payment": " pour confirmer un paiement",
            "transfer": " pour confirmer un virement",
            "password": " pour changer votre mot de passe",
        },
        " pour confirmer une opération",
    ),
}


def code_text(site: str, code: str, action: str, factor: Factor, locale: str, good_for: timedelta) -> str:
    """Writes the message that brings a code.

    Args:
        site: name of the application.
        code: its digits.
        action: what it is for: `login`, `payment`, `transfer` or `password` is told as such, any other one as
            an action, and the empty one not at all.
        factor: SMS, or VOICE, which has the digits apart.
        locale: a language tag (BCP 47); English where the language is unknown.
        good_for: how long the code is good.

    Returns:
        One line.
    """
    language = _LANGUAGES.get(locale.partition("-")[0].lower(), _ENGLISH)
    return language.sentence.format(
        site=site,
        code=" ".join(code) if factor is Factor.VOICE else code,
        purpose=language.purposes.get(action, language.other),
        minutes=max(good_for // _MINUTE, 1),
    )

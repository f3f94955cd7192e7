"""privacyIDEA, set up by its own tools: run by the peers' own Python, under `gunicorn` or to seed.

`python site_on_privacyidea.py COUNT` makes tables, keys and so many tokens, and prints serials and keys. One
is enrolled by its library; the others are copies, since to enroll takes a good part of a second.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_FOLDER = Path(os.environ["PEER_FOLDER"])
_CONFIGURATION = _FOLDER / "pi.cfg"
_FILES = {"PI_ENCFILE": "enckey", "PI_AUDIT_KEY_PRIVATE": "private.pem", "PI_AUDIT_KEY_PUBLIC": "public.pem"}


def create() -> Any:
    """The WSGI application, as gunicorn calls for it."""
    from privacyidea.app import create_app

    return create_app(config_name="production", config_file=str(_CONFIGURATION), silent=True)


def seed(count: int) -> None:
    """Make tokens without a PIN."""
    _configure()
    key = os.urandom(20).hex()
    with create().app_context():
        from privacyidea.lib.policy import SCOPE, set_policy
        from privacyidea.lib.token import init_token
        from privacyidea.models import Token, TokenInfo, db
        from sqlalchemy import insert, select

        # The second step alone, as here: else each check takes an argon2 of the PIN.
        set_policy("second_step", scope=SCOPE.AUTH, action="otppin=none")
        init_token({"type": "totp", "otpkey": key, "serial": "T0", "pin": ""})
        ask, write = db.session.execute, db.session.execute
        (token,) = ask(select(Token.__table__)).mappings()
        infos = list(ask(select(TokenInfo.__table__)).mappings())
        places = range(1, count)
        write(insert(Token.__table__), [{**token, "id": 1000 + at, "serial": f"T{at}"} for at in places])
        copies = [
            {**info, "id": 1000 + at * len(infos) + number, "token_id": 1000 + at}
            for at in places
            for number, info in enumerate(infos)
        ]
        write(insert(TokenInfo.__table__), copies)
        db.session.commit()
    for at in range(count):
        print(f"T{at}", key)


def _configure() -> None:
    settings: dict[str, object] = {name: str(_FOLDER / file) for name, file in _FILES.items()}
    settings |= {
        "SECRET_KEY": "benchmark" * 4,
        "PI_PEPPER": "benchmark",
        "PI_LOGFILE": str(_FOLDER / "pi.log"),
        "PI_LOGLEVEL": 30,
        "SQLALCHEMY_DATABASE_URI": os.environ["PEER_DATABASE"].replace("postgresql:", "postgresql+psycopg:"),
        "SUPERUSER_REALM": ["admin"],
    }
    _CONFIGURATION.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
    manage = [str(Path(sys.executable).with_name("pi-manage")), "setup"]
    environment = os.environ | {"PRIVACYIDEA_CONFIGFILE": str(_CONFIGURATION)}
    for step in ("create_enckey", "create_audit_keys", "create_tables"):
        subprocess.run([*manage, step], env=environment, check=True, capture_output=True)


if __name__ == "__main__":
    seed(int(sys.argv[1]))

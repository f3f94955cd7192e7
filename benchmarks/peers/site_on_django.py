"""A site on django-otp whose one view checks a code: run by the peers' own Python, `gunicorn` or to seed.

`python site_on_django.py COUNT` makes tables and so many users with an app each, and prints names and keys.
"""

import os
import sys
from urllib.parse import parse_qs, urlsplit

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


def _database(url: str) -> dict[str, object]:
    """What Django's documentation says of databases in production."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        options = {"init_command": "PRAGMA journal_mode = WAL", "transaction_mode": "IMMEDIATE"}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": parts.path, "OPTIONS": options}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        # A socket, where there is one.
        "HOST": parse_qs(parts.query).get("host", [parts.hostname or ""])[0],
        "PORT": parts.port,
        "USER": parts.username,
        "PASSWORD": parts.password,
        "CONN_MAX_AGE": None,
    }


settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": _database(os.environ["PEER_DATABASE"])},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django_otp",
        "django_otp.plugins.otp_totp",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="benchmark",
)
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django_otp import match_token  # noqa: E402
from django_otp.plugins.otp_totp.models import TOTPDevice  # noqa: E402


@csrf_exempt  # type: ignore[untyped-decorator]
def verify(request: HttpRequest) -> HttpResponse:
    """Check a code of a user."""
    user = get_user_model().objects.get(username=request.POST["user"])
    said = b"accepted" if match_token(user, request.POST["code"]) else b"wrong"
    return HttpResponse(said, headers={"Content-Length": str(len(said))})


urlpatterns = [path("verify", verify)]
application = get_wsgi_application()


def seed(count: int) -> None:
    """Make users, each with an app."""
    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    users.bulk_create([users.model(username=f"user-{number}", password="!") for number in range(count)])
    TOTPDevice.objects.bulk_create([TOTPDevice(user=user, name="app") for user in users.all()])
    for device in TOTPDevice.objects.select_related("user"):
        print(device.user.username, device.key)


if __name__ == "__main__":
    seed(int(sys.argv[1]))

"""Settings come as compose and env files write them: understood, or refused with a reason."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from authy_grpc import client
from authy_grpc.cli import installation, known
from authy_grpc.cli.failure import Failure, explain
from authy_grpc.cli.serve import check_texts
from authy_grpc.environment import Environment, origin, unknown
from authy_grpc.settings import Settings
from authy_grpc.store import schema
from authy_grpc.tidy import tidy, tidy_environment
from gateway.settings import GatewaySettings

_NASTY = [
    "", " ", '""', '"', "~", "~nobody-here/x", "\ufeffx", "x\n", "\udcff", "a\tb", "\u202e1",
    "x" * 5000, "-1", "1e9",
    "9" * 30, "null", "https://a b", "unix:", "file:", "sqlite:///", "postgresql://u:hunter2@[/x", "mysql://h/x",
    "${X}", "/dev/zero", "/", "DE;AT", "\u0663\u0664", "{", "://", "https://u:hunter2@x:0",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in known.names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def refusal(kind: type[Environment] = Settings) -> str:
    """What is told of the environment."""
    with pytest.raises(ValidationError) as refused:
        kind()
    failure = explain(refused.value)
    assert failure is not None
    return failure.text


def test_empty_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {kind: kind().model_dump() for kind in (Settings, GatewaySettings)}
    for empty in ("", " ", '""', "''", "\ufeff"):
        for name in known.names():
            monkeypatch.setenv(name, empty)
        for kind, values in plain.items():
            assert kind().model_dump() == values


@pytest.mark.parametrize("spelled", ['"{}"', "'{}'", "\ufeff{}", " {}\n", "\u201c{}\u201d", "\"'{}'\""])
def test_what_is_around_a_value_is_not_in_it(monkeypatch: pytest.MonkeyPatch, spelled: str) -> None:
    values = {
        "PUBLIC_URL": "https://auth.example.com",
        "DEV": "1",
        "SMS_PER_HOUR": "7",
        "SMS_URL": "console:",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"AUTHY_{name}", spelled.format(value))
    settings = Settings()
    assert (settings.origin, settings.dev, settings.sms_per_hour) == ("https://auth.example.com", True, 7)
    assert settings.texts == "console:"


def test_a_tilde_is_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AUTHY_HOME", "~/authy")
    monkeypatch.setenv("AUTHY_SMS_URL", "file:~/texts")
    monkeypatch.setenv("AUTHY_DATABASE_URL", "sqlite:///~/authy.db")
    settings = Settings()
    assert settings.home == tmp_path / "authy"
    assert settings.texts == f"file:{tmp_path}/texts"
    assert installation.sqlite_file(settings) == tmp_path / "authy.db"
    assert Settings(home="~/b").home == tmp_path / "b"  # type: ignore[arg-type]
    monkeypatch.setenv("AUTHY_HOME", "~nobody-here/x")
    assert "AUTHY_HOME begins with ~" in refusal()


@pytest.mark.parametrize("folder", ["feature%2Flogin", "what?now", "a b#c", "d\u00e9j\u00e0"])
def test_a_home_of_any_name_holds_its_database(tmp_path: Path, folder: str) -> None:
    settings = Settings(home=tmp_path / folder)
    path = installation.sqlite_file(settings)
    assert path == tmp_path / folder / "data" / "authy.db"
    path.parent.mkdir(parents=True)
    schema.upgrade(settings.database)
    assert path.exists()


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("https://auth.example.com/", "https://auth.example.com"),
        ("HTTPS://Auth.Example.com:443//", "https://auth.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:80/", "http://[::1]"),
    ],
)
def test_an_origin_has_one_spelling(monkeypatch: pytest.MonkeyPatch, text: str, read: str) -> None:
    assert origin(text) == read
    monkeypatch.setenv("AUTHY_PUBLIC_URL", text)
    monkeypatch.setenv("AUTHY_CORS_ORIGINS", f'"{text}", *')
    assert Settings().origin == read
    assert GatewaySettings().origins == (read, "*")


@pytest.mark.parametrize(
    "text",
    ["auth.example.com", "//a.example", "https://a.example/app", "https://a.example?x", "ftp://a.example", "https://",
     "https://u:hunter2@a.example", "https://a b", "https://a.example:99999", "https://[::1", "https://m\u00fcnchen.de"],
)  # fmt: skip
def test_what_is_no_origin_is_refused_with_a_reason(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for kind, name, value in (
        (Settings, "AUTHY_PUBLIC_URL", text),
        (GatewaySettings, "AUTHY_PUBLIC_URL", text),
        (GatewaySettings, "AUTHY_CORS_ORIGINS", f"https://b.example,{text}"),
    ):
        with monkeypatch.context() as within:
            within.setenv(name, value)
            told = refusal(kind)
        assert name in told and "https://auth.example.com" in told and "hunter2" not in told


def test_values_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xef\xbb\xbf'op_x'\r\n")
    (tmp_path / "number").write_text("7\n")
    monkeypatch.setenv("AUTHY_OPERATOR_KEY_FILE", f'"{tmp_path}/key"')
    monkeypatch.setenv("AUTHY_SMS_PER_HOUR_FILE", str(tmp_path / "number"))
    settings = Settings()
    assert (settings.operator_key.get_secret_value(), settings.sms_per_hour) == ("op_x", 7)
    monkeypatch.setenv("AUTHY_OPERATOR_KEY", "op_y")
    assert Settings().operator_key.get_secret_value() == "op_y"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/run/secrets/none", "cannot be read: No such file"),
        ("/", "cannot be read: Is a directory"),
        ("./empty", "is empty"),
        ("./binary", "no text in UTF-8"),
        ("/dev/zero", "is too long"),
        ("op_hunter2", "the file that it names cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str, why: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("AUTHY_KEYSET_FILE", path)
    told = refusal()
    assert told.startswith("AUTHY_KEYSET_FILE: ") and why in told and "hunter2" not in told


def test_names_are_those_of_the_settings_classes_options_and_client() -> None:
    names = known.names()
    assert {"AUTHY_HOME", "AUTHY_KEYSET_FILE", "AUTHY_CORS_ORIGINS", "AUTHY_SERVER", "AUTHY_API_KEY"} <= names
    assert "AUTHY_TLS_CERT_FILE" not in names
    sources = [*Path(client.__file__).parent.glob("*.py"), *Path(known.__file__).parent.rglob("*.py")]
    read = {name for each in sources for name in re.findall(r'"(AUTHY_[A-Z_]+)"', each.read_text())}
    assert {"AUTHY_API_KEY", "AUTHY_SERVER"} <= read <= names


def test_a_name_that_nobody_knows_stops_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    known.check()
    monkeypatch.setenv("AUTHY_DATABASE_URI", "postgresql://u:hunter2@db/authy")
    monkeypatch.setenv("AUTHY_TLS_CERT_FILE", "cert.pem")
    with pytest.raises(Failure) as refused:
        known.check()
    assert refused.value.text == "No such setting: AUTHY_DATABASE_URI, AUTHY_TLS_CERT_FILE."
    assert "AUTHY_DATABASE_URL for AUTHY_DATABASE_URI, AUTHY_TLS_CERT for" in refused.value.mend


def test_what_orchestrators_and_tests_set_is_let_alone() -> None:
    others = {
        "AUTHY_SERVICE_HOST": "10.0.0.1",
        "AUTHY_GRPC_SERVICE_PORT_REST": "8080",
        "AUTHY_GRPC_PORT": "tcp://10.0.0.1:50051",
        "AUTHY_PORT_50051_TCP_ADDR": "10.0.0.1",
        "AUTHY_TEST_POSTGRES_URL": "x",
        "AUTHY_REQUIRE_ALL": "1",
        "AUTHY": "x",
        "authy_listen": "x",
    }
    assert unknown(others, {"AUTHY_LISTEN"}) == {}
    assert unknown({"AUTHY_PORT": "50051", "AUTHY_Listen": ":1"}, {"AUTHY_LISTEN"}) == {
        "AUTHY_PORT": "AUTHY_LISTEN"
    }
    assert unknown({"AUTHY_XYZ_QWK": ""}, {"AUTHY_DEV"}) == {"AUTHY_XYZ_QWK": ""}


def test_the_environment_of_commands_is_tidied() -> None:
    environment = {"AUTHY_SERVER": '"localhost:1"', "AUTHY_API_KEY": "", "OTHER": '"x"'}
    tidy_environment(environment)
    assert environment == {"AUTHY_SERVER": "localhost:1", "OTHER": '"x"'}
    assert tidy('"unbalanced') == '"unbalanced'


def test_no_spelling_of_any_setting_ends_in_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (Settings, GatewaySettings):
        for name in kind.names():
            for value in _NASTY:
                monkeypatch.setenv(name, value)
                try:
                    kind()
                    settings = installation.read_settings()
                    check_texts(settings)
                    installation.sqlite_file(settings)
                except Exception as error:
                    failure = explain(error)
                    assert failure is not None, (name, value)
                    # A list that is no secret may say which of its entries is wrong.
                    assert name == "AUTHY_WEBHOOK_ALLOW" or "hunter2" not in failure.text + failure.mend
                monkeypatch.delenv(name)

"""Settings: what is read, from where, and the sentences an operator gets."""

from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.config import Settings, is_loopback, load_settings
from gateway.errors import ConfigError

THREE = {
    "OPENAI_API_KEY": "sk-test-0123456789",
    "TWILIO_AUTH_TOKEN": "t" * 32,
    "GATEWAY_PUBLIC_URL": "https://Voice.example.com/",
}
SET = Callable[..., None]


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SET:
    """Return a function that sets variables; start from an environment without any of ours, in an empty folder."""
    import os

    for name in list(os.environ):
        if name.startswith(("GATEWAY_", "OPENAI_", "TWILIO_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def set_all(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


def refusal(**variables: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_three_variables_are_enough_for_a_real_number(put: SET) -> None:
    put(**THREE)
    settings = load_settings()
    assert settings.serving_problems() == []
    assert settings.public_url == "https://voice.example.com"
    assert settings.stream_origin == "wss://voice.example.com"
    assert settings.model_endpoint("gpt-realtime-2.1") == "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"
    assert settings.model_headers() == {"Authorization": "Bearer sk-test-0123456789"}
    assert not settings.development and not settings.allow_unsigned


def test_without_anything_it_is_a_development_set_up_that_cannot_serve(put: SET) -> None:
    settings = load_settings()
    assert settings.development
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.serving_problems() == [
        "OPENAI_API_KEY is not set: the realtime model will refuse every call",
        "TWILIO_AUTH_TOKEN is not set, nor a setting that opens the door of another carrier: nobody can call",
    ]


def test_a_local_model_needs_no_key_and_unsigned_development_needs_no_token(put: SET) -> None:
    put(GATEWAY_MODEL_URL="ws://127.0.0.1:9000/v1/realtime", GATEWAY_ALLOW_UNSIGNED="true")
    settings = load_settings()
    assert settings.serving_problems() == []
    assert settings.model_headers() == {}


def test_our_own_prefix_wins_over_the_well_known_name(put: SET) -> None:
    put(OPENAI_API_KEY="sk-other-project", GATEWAY_OPENAI_API_KEY="sk-ours")
    assert load_settings().model_headers() == {"Authorization": "Bearer sk-ours"}


def test_dotenv_is_read_and_the_environment_wins(put: SET, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GATEWAY_PORT=9001\nGATEWAY_HOST=0.0.0.0\nOTHER_PROGRAM=1\n")
    put(GATEWAY_PORT="9002")
    settings = load_settings()
    assert (settings.host, settings.port) == ("0.0.0.0", 9002)


@pytest.mark.parametrize("line", ["OPENAI API KEY=sk-secret", "OPENAI_API_KEY='sk-secret", "= sk-secret"])
def test_a_broken_line_of_dotenv_is_one_sentence_without_its_text(
    put: SET, tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".env").write_text(f"# mine\nGATEWAY_PORT=9001\n{line}\nGATEWAY_HOST=0.0.0.0\n")
    assert refusal() == ".env:3: is not NAME=value; check its quotes and blanks"
    assert not caplog.records


def test_a_secret_may_come_from_a_file(put: SET, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-from-file\n")
    (tmp_path / "keys").write_text("first-key-0123456789,second-key-0123456789\n")
    (tmp_path / "db").write_text("postgresql+psycopg://u:p@db/gateway\n")
    put(OPENAI_API_KEY_FILE=str(tmp_path / "key"), GATEWAY_API_KEYS_FILE=str(tmp_path / "keys"))
    put(GATEWAY_DATABASE_URL_FILE=str(tmp_path / "db"))
    settings = load_settings()
    assert settings.model_headers() == {"Authorization": "Bearer sk-from-file"}
    assert len(settings.api_keys) == 2
    assert settings.database_url == "postgresql+psycopg://u:p@db/gateway"


def test_a_secret_file_named_in_dotenv_is_read_too(put: SET, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc")
    (tmp_path / ".env").write_text("TWILIO_AUTH_TOKEN_FILE=token\n")
    token = load_settings().twilio_auth_token
    assert token is not None and token.get_secret_value() == "abc"


def test_a_secret_file_that_is_missing_empty_or_doubled_is_a_sentence(put: SET, tmp_path: Path) -> None:
    put(TWILIO_AUTH_TOKEN_FILE="nowhere")
    assert refusal() == "TWILIO_AUTH_TOKEN_FILE: nowhere cannot be read: No such file or directory"
    (tmp_path / "nowhere").write_text("\n")
    assert refusal() == "TWILIO_AUTH_TOKEN_FILE: nowhere is empty"
    put(TWILIO_AUTH_TOKEN="x")
    assert refusal() == "TWILIO_AUTH_TOKEN and TWILIO_AUTH_TOKEN_FILE are both set; keep one"


def test_every_problem_is_reported_at_once_without_the_values(put: SET) -> None:
    put(GATEWAY_PORT="99999", GATEWAY_PUBLIC_URL="http://voice.example.com", GATEWAY_API_KEYS="short-secret")
    put(GATEWAY_PUBLC_URL="x", GATEWAY_DIAL_COUNTRIES="US,ZZ", GATEWAY_TWILIO_ACCOUNT_SID="AC1")
    assert refusal().splitlines() == [
        "GATEWAY_PORT: should be less than or equal to 65535",
        "GATEWAY_PUBLIC_URL: must be https; http is allowed for loopback only (host voice.example.com)",
        "GATEWAY_TWILIO_ACCOUNT_SID: should be AC and 32 hex digits",
        "GATEWAY_API_KEYS: each key must have at least 16 characters",
        "GATEWAY_DIAL_COUNTRIES: unknown ISO region ZZ; two letters such as US or DE are expected",
        "GATEWAY_PUBLC_URL is not a setting; did you mean GATEWAY_PUBLIC_URL?",
    ]


def test_unsigned_webhooks_are_refused_outside_development(put: SET) -> None:
    put(**THREE, GATEWAY_ALLOW_UNSIGNED="1")
    assert refusal() == (
        "GATEWAY_ALLOW_UNSIGNED is for development: it needs a GATEWAY_PUBLIC_URL on 127.0.0.1 or localhost"
    )


def test_half_an_api_key_is_refused(put: SET) -> None:
    put(GATEWAY_TWILIO_API_KEY_SECRET="s")
    assert refusal() == "set both GATEWAY_TWILIO_API_KEY_SID and GATEWAY_TWILIO_API_KEY_SECRET, or neither"


def test_service_links_of_kubernetes_are_explained_and_else_ignored(put: SET) -> None:
    put(GATEWAY_SERVICE_HOST="10.0.0.1", GATEWAY_PORT_8080_TCP="tcp://10.0.0.1:8080")
    load_settings()
    put(GATEWAY_PORT="tcp://10.0.0.1:8080")
    assert refusal() == (
        "GATEWAY_PORT: Kubernetes set this variable for a service named gateway; "
        "put enableServiceLinks: false into the pod"
    )


@pytest.mark.parametrize(
    ("given", "endpoint", "auth"),
    [
        ("https://api.openai.com/v1", "wss://api.openai.com/v1/realtime", "bearer"),
        ("http://localhost:8080/v1/", "ws://localhost:8080/v1/realtime", "bearer"),
        (
            "https://res.openai.azure.com/openai/v1/realtime",
            "wss://res.openai.azure.com/openai/v1/realtime",
            "api-key",
        ),
        ("https://res.openai.azure.com/openai/v1", "wss://res.openai.azure.com/openai/v1/realtime", "api-key"),
        ("wss://api.x.ai/v1/realtime", "wss://api.x.ai/v1/realtime", "bearer"),
    ],
)
def test_model_urls_of_compatible_servers_are_understood(put: SET, given: str, endpoint: str, auth: str) -> None:
    put(GATEWAY_MODEL_URL=given)
    settings = load_settings()
    assert (settings.model_url, settings.model_auth) == (endpoint, auth)


def test_a_model_url_with_a_query_keeps_it(put: SET) -> None:
    put(GATEWAY_MODEL_URL="wss://h/realtime/session?protocol=realtime")
    assert load_settings().model_endpoint("a b") == "wss://h/realtime/session?protocol=realtime&model=a%20b"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("ftp://x/v1", "must be a URL such as wss://api.openai.com/v1/realtime"),
        ("wss://user:pw@x/v1", "must be a URL such as wss://api.openai.com/v1/realtime"),
        ("wss://x:99999/v1", "has a port that is not a number up to 65535"),
        (
            "https://r.openai.azure.com/openai/realtime?api-version=2024-10-01-preview",
            "is Azure's retired preview path; use https://RESOURCE.openai.azure.com/openai/v1/realtime",
        ),
    ],
)
def test_unusable_model_urls_are_sentences(put: SET, given: str, sentence: str) -> None:
    put(GATEWAY_MODEL_URL=given)
    assert refusal() == f"GATEWAY_MODEL_URL: {sentence}"


@pytest.mark.parametrize(
    "host",
    ["api.example.com", "8.8.8.8", "172.32.0.1", "134744072", "0x08080808", "[2001:4860::1]"],
)
@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_the_key_does_not_travel_in_clear(put: SET, scheme: str, host: str) -> None:
    put(GATEWAY_MODEL_URL=f"{scheme}://{host}/v1")
    said = refusal()
    assert said.startswith("GATEWAY_MODEL_URL: must be wss or https: to ") and said.endswith("would travel in clear")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]", "model:8000", "192.168.1.9", "[fd00::1]"])
def test_a_model_on_this_machine_or_in_a_private_network_needs_no_tls(put: SET, host: str) -> None:
    put(GATEWAY_MODEL_URL=f"http://{host}/v1")
    assert load_settings().model_url == f"ws://{host}/v1/realtime"


@pytest.mark.parametrize(
    "given",
    ["https://a.example/path", "https://a.example/?q=1", "https://u:p@a.example", "voice.example.com", "https://"],
)
def test_a_public_url_is_an_origin_only(put: SET, given: str) -> None:
    put(GATEWAY_PUBLIC_URL=given)
    assert refusal().startswith("GATEWAY_PUBLIC_URL: must be an")


def test_lists_are_comma_separated(put: SET) -> None:
    put(GATEWAY_WEBHOOK_ALLOW_CIDRS="10.1.0.0/16, fd00::/8", GATEWAY_DIAL_COUNTRIES="us,de")
    settings = load_settings()
    assert settings.webhook_allow_cidrs == (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    assert settings.dial_countries == {"US", "DE"}
    put(GATEWAY_WEBHOOK_ALLOW_CIDRS="10.1.0.1/16")
    assert "is not a network such as 10.1.0.0/16" in refusal()


def test_no_secret_shows_in_the_representation(put: SET) -> None:
    put(**THREE, GATEWAY_API_KEYS="api-key-0123456789", GATEWAY_DATABASE_URL="postgresql+psycopg://u:hunter2@db/g")
    settings = load_settings()
    for secret in [*settings.secret_values(), "hunter2"]:
        assert secret not in repr(settings)
    assert len(settings.secret_values()) == 3


def test_settings_are_frozen_and_can_be_built_by_name(put: SET) -> None:
    settings = Settings(public_url="http://localhost:1234", allow_unsigned=True)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_settings_alone_look_at_nothing_but_what_is_given(put: SET, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-file")
    put(GATEWAY_PORT="none", GATEWAY_API_KEYS="short", OPENAI_API_KEY_FILE=str(tmp_path / "key"))
    (tmp_path / ".env").write_text("GATEWAY_MAX_CALLS=0\nTWILIO_AUTH_TOKEN=x\n")
    settings = Settings.alone({"public_url": "http://localhost:1234"})
    assert (settings.port, settings.api_keys, settings.public_url) == (8080, (), "http://localhost:1234")
    assert settings.secret_values() == [] and settings.model_fields_set == {"public_url"}


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.9.9.9", True), ("::1", True), ("LOCALHOST.", True), ("10.0.0.1", False)]
)
def test_loopback_hosts_are_known(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("GATEWAY_AUDIOSOCKET_LISTEN", "9092", "should be HOST:PORT such as 127.0.0.1:9092, or [::1]:9092"),
        (
            "GATEWAY_TWILIO_FROM_NUMBER",
            "0711 1234",
            "should be a number in E.164 form: + and 7 to 15 digits, such as +14155550123",
        ),
        ("GATEWAY_TWILIO_API_KEY_SID", "SK1", "should be SK and 32 hex digits"),
        ("GATEWAY_TELNYX_CONNECTION_ID", "x", "should be the digits of the app's id"),
        ("GATEWAY_PLIVO_AUTH_ID", "x", "should be 10 to 40 letters and digits"),
        ("GATEWAY_ASTERISK_USERNAME", "a b", "should be letters, digits, _ . -; 64 at most"),
        ("GATEWAY_ASTERISK_DIAL_CONTEXT", "a b", "should be letters, digits, _ . -; 79 at most"),
        ("GATEWAY_NODE_NAME", "a b", "should be letters, digits, _ . -; 64 at most"),
        (
            "GATEWAY_ASTERISK_ARI_URL",
            "http://127.0.0.1:8088/ari",
            "should end before /ari, which is added by itself: http://127.0.0.1:8088",
        ),
    ],
)
def test_what_a_setting_should_be_is_told_in_words(put: SET, name: str, value: str, words: str) -> None:
    put(**THREE, **{name: value})
    assert refusal() == f"{name}: {words}"


def test_no_setting_is_refused_with_a_regular_expression() -> None:
    assert not [name for name, field in Settings.model_fields.items() if "pattern=" in repr(field.metadata)]


def test_the_prefix_of_asterisks_http_server_is_kept(put: SET) -> None:
    put(**THREE, GATEWAY_ASTERISK_ARI_URL="http://127.0.0.1:8088/pbx/", GATEWAY_ASTERISK_ARI_PASSWORD="x")
    assert load_settings().asterisk_ari_url == "http://127.0.0.1:8088/pbx"


def test_unsigned_calls_are_taken_on_loopback_only() -> None:
    with pytest.raises(ValueError, match="needs a GATEWAY_HOST on loopback"):
        Settings.alone({"allow_unsigned": True, "host": "0.0.0.0"})
    assert Settings.alone({"allow_unsigned": True}).allow_unsigned

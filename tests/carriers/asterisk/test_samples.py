"""The samples in `deploy/asterisk` say what the adapter reads, and do what the simulated dialplan does."""

import re
from configparser import ConfigParser
from pathlib import Path

import pytest

from gateway.carriers.asterisk import control, variables
from gateway.carriers.asterisk.routes import router
from gateway.config import Settings
from gateway.simulator.carriers.asterisk import LASTED_S

FOLDER = Path(__file__).parents[3] / "deploy" / "asterisk"
DIALPLAN = (FOLDER / "extensions.conf").read_text()
CODE = "\n".join(line for line in DIALPLAN.splitlines() if not line.lstrip().startswith(";"))


def sections(name: str) -> ConfigParser:
    parser = ConfigParser(comment_prefixes=(";",), strict=False, interpolation=None)
    parser.read(FOLDER / name)
    return parser


def test_the_client_connects_to_our_route_as_our_user() -> None:
    client = sections("websocket_client.conf")["gateway"]
    assert client["uri"].endswith("/asterisk/media")
    assert client["protocols"] == "media" and client["connection_type"] == "per_call_config"
    assert client["username"] == Settings.model_fields["asterisk_username"].default
    assert router is not None


def test_the_ari_user_is_the_one_we_are_by_default() -> None:
    name = Settings.model_fields["asterisk_ari_username"].default
    assert sections("ari.conf")[name]["read_only"] == "no"


def test_callers_are_dialled_out_from_the_context_that_is_the_default() -> None:
    assert f"[{Settings.model_fields['asterisk_dial_context'].default}]" in DIALPLAN


@pytest.mark.parametrize("application", [r"v\(([^\n]*)\),20,g\)", r"/audiosocket/offer,([^\n]*)\)\}\)"])
def test_every_variable_that_is_sent_is_one_that_is_read(application: str) -> None:
    found = re.search(application, CODE)
    assert found is not None
    names = re.findall(r"(?:^|[,&])([a-z]+)=\$", found[1])
    assert names == ["call", "from", "to", "again", "result"]
    assert set(names) <= set(variables.NAMES)


def test_the_word_of_the_gateway_is_where_we_put_it() -> None:
    assert control.variable_of("1795332868.16") == "GATEWAY_NEXT_179533286816"
    assert "Set(GW_KEY=${FILTER(A-Za-z0-9,${UNIQUEID})})" in CODE
    assert set(re.findall(r"GATEWAY_NEXT_[^)]*\)", CODE)) == {f"{control.VARIABLE}${{GW_KEY}})"}


@pytest.mark.parametrize("word", ["again", "apology", "transfer", "hangup"])
def test_every_word_has_a_way_to_go(word: str) -> None:
    label = "end" if word == "hangup" else word
    assert f'GotoIf($["${{GW_WORD}}" = "{word}"]?{label})' in CODE
    assert f"same => n({label})," in CODE


def test_our_channel_s_end_does_not_hang_the_caller_up() -> None:
    (dial,) = re.findall(r"Dial\(WebSocket/.*", CODE)
    assert dial.endswith(",20,g)")
    assert "TryExec(AudioSocket(" in CODE


def test_nobody_is_forgotten_before_whose_status_it_is_can_be_told() -> None:
    following = CODE.partition("[gateway-next]")[2]
    assert following.index("Set(DIALSTATUS=)") < following.index("Set(GLOBAL(")


def test_as_shipped_a_call_that_has_lasted_is_over_and_only_a_quick_failure_is_tried_again() -> None:
    assert re.search(r"^GW_ARI = no$", CODE, re.MULTILINE)
    (ends,) = re.findall(r"GotoIf.*GW_ARI.*", CODE)
    assert ends == f'GotoIf($["${{GW_ARI}}" != "yes" & ${{EPOCH}} - ${{GW_BEGAN}} > {LASTED_S:.0f}]?end)'
    following = CODE.partition("[gateway-next]")[2]
    assert following.index("?again)") < following.index(ends) < following.index("n(again)")


def test_each_secret_has_a_placeholder_of_its_own() -> None:
    files = {path.name: path.read_text() for path in FOLDER.glob("*.conf")}
    found = {name: set(re.findall(r"\b[A-Z]+-[A-Z]+-HERE\b", text)) for name, text in files.items()}
    assert {name: names for name, names in found.items() if names} == {
        "websocket_client.conf": {"GATEWAY-PASSWORD-HERE"},
        "extensions.conf": {"GATEWAY-PASSWORD-HERE"},
        "ari.conf": {"ARI-PASSWORD-HERE"},
        "pjsip.conf": {"TRUNK-USER-HERE", "TRUNK-PASSWORD-HERE"},
    }
    readme = (FOLDER / "README.md").read_text()
    assert all(name in readme for names in found.values() for name in names)
    assert "CHANGE-ME" not in readme + "".join(files.values())


def test_every_label_that_is_gone_to_exists() -> None:
    for context in re.split(r"^\[", CODE, flags=re.MULTILINE)[1:]:
        labels = set(re.findall(r"same => n\((\w+)\)", context))
        gone_to = set(re.findall(r"\?(\w+)\)", context))
        assert gone_to <= labels, context.partition("]")[0]


def test_parentheses_and_brackets_are_closed() -> None:
    for line in CODE.splitlines():
        for opened, closed in ("()", "[]", "{}"):
            assert line.count(opened) == line.count(closed), line

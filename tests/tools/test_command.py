"""`gateway tools`: the model's functions as a person, or a script, reads them."""

import json
import sys
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.tools.command import import_document, list_tools
from tests.test_checkimports import SERVER

DOCUMENTS = Path(__file__).parent / "openapi" / "documents"
AGENTS = f"""
agents:
  desk:
    instructions: x
    tools:
      - name: lookup_order
        description: x
        url: https://api.example.com/orders
        parameters: {{type: object, properties: {{order: {{type: string}}, shop: {{type: string}}}}, required: [order]}}
        effect: read
        limits: {{per_call: 3}}
        bounds: {{shop: {{fixed: main}}}}
    openapi:
      - document: {DOCUMENTS}/clinic.json
        tags: [appointments]
        tools:
          bookAppointment: {{requires_confirmation: spoken, idempotent: true}}
"""


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "agents.yaml").write_text(AGENTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_AGENTS_FILE", str(tmp_path / "agents.yaml"))
    monkeypatch.setenv("GATEWAY_PUBLIC_URL", "https://gw.example.com")


def test_an_agents_functions_are_listed_whatever_they_come_from(
    agents: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list_tools("desk") == 0
    lines = {line.split()[0]: " ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.split()}
    assert lines["lookup_order"] == "lookup_order webhook https://api.example.com/orders read 8 s, 3 per call order*"
    assert lines["bookAppointment"].startswith(
        "bookAppointment POST https://birchlane.example.org/api/appointments write, idempotent 8 s, confirmed (spoken)"
    )
    assert lines["hang_up"].startswith("hang_up builtin read")


def test_a_function_of_an_mcp_server_is_listed_with_its_server(
    agents: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    section = {"name": "calendar", "command": sys.executable, "args": ["-S", "server.py"], "prefix": "cal_"}
    (tmp_path / "agents.yaml").write_text(AGENTS + f"    mcp: [{json.dumps(section)}]\n")
    assert list_tools("desk") == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.lstrip().startswith("cal_"))
    assert " ".join(line.split()).startswith("cal_find_slot mcp calendar: find_slot write")


def test_a_folder_is_no_document(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder; name the file of the document in it$"):
        import_document(tmp_path)


def test_the_list_is_one_json_document(agents: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_tools("desk", as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["agent"] == "desk"
    found = {tool["name"]: tool for tool in document["tools"]}
    assert found["lookup_order"]["parameters"]["properties"] == {"order": {"type": "string"}}
    assert found["freeSlots"]["effect"] == "read" and found["freeSlots"]["kind"] == "operation"
    assert found["bookAppointment"]["requires_confirmation"] == "spoken"


def test_an_unknown_agent_is_told_with_a_suggestion(agents: None) -> None:
    with pytest.raises(ConfigError, match="there is no agent 'desks'; did you mean 'desk'"):
        list_tools("desks")


def test_a_document_is_shown_with_what_it_does_not_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert import_document(DOCUMENTS / "hotel" / "hotel.yaml") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "checkAvailability GET https://eu.api.larkspur.example.com/v4/houses/{house_code}/availability read" in out
    assert "not offered: uploadPhoto: hotel.yaml#/paths/" in out and "it takes multipart/form-data" in out
    assert "to note: *: the document asks for credentials (oauth, partnerKey), and the section has no auth" in out


def test_a_document_is_shown_as_json_and_by_tag(capsys: pytest.CaptureFixture[str]) -> None:
    assert import_document(DOCUMENTS / "clinic.json", ["documents"], as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert [note["operation"] for note in document["skipped"]] == [
        "history", "uploadDocument", "download", "byMatrix", "traceExport",
    ]  # fmt: skip
    assert document["tools"] == []
    with pytest.raises(ConfigError, match="there is no tag 'docs'"):
        import_document(DOCUMENTS / "clinic.json", ["docs"])


def test_a_document_needs_no_server_to_be_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("openapi: 3.0.0\nservers: [{url: /v1}]\npaths: {/a: {get: {responses: {}}}}\n")
    assert import_document(tmp_path / "a.yaml", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["tools"][0]["origin"] == "GET /a"

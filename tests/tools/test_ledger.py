"""What a row of the ledger holds."""

from gateway.agents.policy import ToolPolicy
from gateway.tools.catalogue import ToolKind, catalogue_tool
from gateway.tools.ledger import canonical, digest, intent
from gateway.tools.request import CallFacts, ToolRequest

TOKEN = "vault_" + "a1B2" * 8
FACTS = CallFacts("call_1", "shop", "inbound", "+14155550101", "+14155550199", carrier_call_id="CA1")
TOOL = catalogue_tool("pay", ToolKind.WEBHOOK, "Pay.", {"type": "object"}, ToolPolicy(idempotent=True))


def request(**arguments: object) -> ToolRequest:
    return ToolRequest(FACTS, TOOL, "c1", arguments)


def test_the_token_of_a_secret_is_not_written_and_its_write_not_sent_again() -> None:
    row = intent(request(card=TOKEN, amount=5))
    assert TOKEN not in row.arguments
    assert not row.idempotent
    assert row.arguments_hash == digest(canonical({"card": TOKEN, "amount": 5})), "a repeat is still recognised"


def test_arguments_without_secrets_are_kept_for_another_process() -> None:
    row = intent(request(amount=5))
    assert row.arguments == '{"amount":5}'
    assert row.idempotent

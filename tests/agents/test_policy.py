"""What the file says about a function's running: the sentences of mistakes, and what is said otherwise."""

import time
from pathlib import Path

import pytest

from gateway.agents import Bound, PolicyOverrides, ToolPolicy, Waiting, load_agents
from gateway.agents.policy import whole_match
from gateway.errors import ConfigError

PARAMETERS = "{type: object, properties: {n: {type: number}, p: {type: object, properties: {q: {type: string}}}}}"


def refusal(folder: Path, keys: str) -> str:
    """Return the sentence that an agent with these keys of a tool gets; "" when it is sound."""
    path = folder / "a.yaml"
    tool = f"{{name: t, description: d, url: 'https://a.example/x', parameters: {PARAMETERS}, {keys}}}"
    path.write_text(f"agents: {{a: {{instructions: x, tools: [{tool}]}}}}\n")
    try:
        load_agents(path)
    except ConfigError as error:
        place, _, sentence = str(error).removeprefix(f"{path}:").partition(": ")
        assert place.startswith("1:") and "\n" not in sentence
        return sentence
    return ""


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("on_interrupt: cancel", "tools[0]: on_interrupt: cancel needs effect: read; what has left cannot be undone"),
        ("pending_s: 5", "tools[0]: pending_s (5) should not be shorter than timeout_s (8)"),
        (
            "speak_while_waiting: {after_s: 9}",
            "tools[0]: speak_while_waiting.after_s (9) is never reached, timeout_s is 8",
        ),
        ("speak_while_waiting: {say: x, sound: true}", "sound: a tone takes the place of words; keep either sound or"),
        ("speak_while_waiting: 5", "speak_while_waiting: should be true, false, a sentence, or a section such as"),
        ("bounds: {n: {}}", "n: bounds nothing; say what the argument may be, such as {maximum: 100}"),
        ("bounds: {n: {fixed: null}}", "n: bounds nothing"),
        ("bounds: {n: {minimum: 3, maximum: 2}}", "n: minimum (3) should not be above maximum (2)"),
        ("bounds: {n: {fixed: 3, maximum: 2}}", "n: fixed is the value itself; nothing else can bound it"),
        ("bounds: {n: {pattern: '['}}", "pattern: is not a regular expression: unterminated character set"),
        ("bounds: {n: {pattern: '(?=a)b'}}", "pattern: is not a regular expression that can be used; look-around and"),
        (r"bounds: {n: {pattern: '(a)\1'}}", "pattern: is not a regular expression that can be used; look-around and"),
        ("bounds: {n: {pattern: '(a{1000}){1000}'}}", "pattern: is not a regular expression that can be used"),
        ("bounds: {x: {maximum: 2}}", "tools[0]: bounds: there is no argument 'x'; the arguments are: n, p"),
        ("bounds: {p.x: {maximum: 2}}", "tools[0]: bounds: there is no argument 'p.x'; the arguments are: n, p"),
        ("limits: {per_caller_s: 60}", "per_caller_s: counts nothing without per_caller"),
        ("limits: {per_call: 0}", "per_call: should be greater than or equal to 1"),
        ("claims: ['!!']", "claims[0]: '!!' is no phrase that could be listened for"),
        ("requires_confirmation: true", "requires_confirmation: should be false, 'spoken' or 'key'"),
        ("effect: delete", "effect: should be 'read' or 'write'"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(tmp_path: Path, keys: str, sentence: str) -> None:
    assert refusal(tmp_path, keys).startswith(sentence)


@pytest.mark.parametrize(
    "keys",
    [
        "effect: read, on_interrupt: cancel, idempotent: true",
        "speak_while_waiting: false, requires_confirmation: key",
        "speak_while_waiting: One moment., timeout_s: 1",
        "timeout_s: 1",
        "bounds: {n: {minimum: 1, maximum: 2}, p.q: {max_length: 9, pattern: '[A-Z]+'}, tenant: {fixed: acme}}",
        "limits: {per_call: 1, per_caller: 3, per_caller_s: 60}",
        "claims: [I have booked, 已预订]",
    ],
)
def test_what_makes_sense_is_taken(tmp_path: Path, keys: str) -> None:
    assert refusal(tmp_path, keys) == ""


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("[A-Z]{2}[0-9]+", "AB12", True),
        ("[A-Z]{2}[0-9]+", "xAB12", False),
        ("[A-Z]{2}[0-9]+", "AB12\n", False),
        ("a|b", "ab", False),
        ("", "", True),
    ],
)
def test_a_pattern_is_matched_by_the_whole_text(pattern: str, text: str, matches: bool) -> None:
    assert whole_match(pattern)(text) is matches


def test_no_text_makes_a_pattern_search_for_ever() -> None:
    matches = whole_match("(a+)+b")
    begun = time.perf_counter()
    assert not matches("a" * 30_000)
    assert time.perf_counter() - begun < 1


BASE = ToolPolicy(effect="read", timeout_s=20, bounds={"amount": Bound(maximum=100)})


def test_an_override_changes_what_it_says_and_nothing_else() -> None:
    assert PolicyOverrides().apply(BASE) == BASE
    changed = PolicyOverrides(idempotent=True, speak_while_waiting=None).apply(BASE)
    assert changed == BASE.model_copy(update={"idempotent": True, "speak_while_waiting": None})


def test_an_override_may_say_what_is_the_default_elsewhere() -> None:
    assert PolicyOverrides(timeout_s=8).apply(BASE).timeout_s == 8
    assert PolicyOverrides(effect="write").apply(BASE).effect == "write"
    assert PolicyOverrides.model_validate({"speak_while_waiting": True}).apply(BASE).speak_while_waiting == Waiting()


def test_bounds_of_an_override_add_to_those_there_are() -> None:
    changed = PolicyOverrides(bounds={"tenant": Bound(fixed="acme")}).apply(BASE)
    assert changed.bounds == {"amount": Bound(maximum=100), "tenant": Bound(fixed="acme")}
    assert PolicyOverrides(bounds={"amount": Bound(maximum=5)}).apply(BASE).bounds["amount"].maximum == 5


def test_of_two_overrides_the_upper_one_counts() -> None:
    lower = PolicyOverrides(timeout_s=3, claims=("I have paid",), bounds={"a": Bound(maximum=1)})
    upper = PolicyOverrides(timeout_s=4, bounds={"b": Bound(maximum=2)})
    both = upper.over(lower).apply(BASE)
    assert (both.timeout_s, both.claims, sorted(both.bounds)) == (4, ("I have paid",), ["a", "amount", "b"])


def test_an_override_that_does_not_go_with_the_policy_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"^on_interrupt: cancel needs effect: read; what has left cannot be undone$"):
        PolicyOverrides(on_interrupt="cancel").apply(ToolPolicy())
    both = PolicyOverrides(effect="read").over(PolicyOverrides(on_interrupt="cancel"))
    assert both.apply(ToolPolicy()).on_interrupt == "cancel"


def test_only_what_an_override_says_is_kept_of_it() -> None:
    assert PolicyOverrides(timeout_s=8).model_dump() == {"timeout_s": 8}
    assert PolicyOverrides().model_dump_json() == "{}"

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from gateway.simulator.engine import Context, FunctionCall, Speech
from gateway.simulator.local.brain import Brain
from gateway.simulator.local.smalltalk import ANYTHING_ELSE

from .conftest import TODAY
from .tools_of_a_shop import HANG_UP, ORDER_STATUS, SHOP, TRANSFER

INSTRUCTIONS = "You are the agent of Northwind Outfitters. Be brief. Our opening hours on Saturday are nine to five."
BRAIN = Brain(lambda: TODAY)
Item = Mapping[str, Any]


def caller(text: str) -> Item:
    return {"type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": text}]}


def agent(text: str) -> Item:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": text}]}


def call(name: str, arguments: Mapping[str, str], output: object) -> list[Item]:
    return [
        {"type": "function_call", "call_id": "c1", "name": name, "arguments": json.dumps(arguments)},
        {"type": "function_call_output", "call_id": "c1", "output": json.dumps(output)},
    ]


def respond(
    *items: Item,
    tools: Sequence[Item] = SHOP,
    instructions: str = INSTRUCTIONS,
    choice: str | Mapping[str, Any] = "auto",
) -> list[str]:
    """Return the answer's items; a function call as "name {arguments}"."""
    answer = BRAIN.respond(Context(instructions, tools, choice, list(items), len(items)))
    return [
        item.text if isinstance(item, Speech) else f"{item.name} {item.arguments}"
        for item in answer.items
        if isinstance(item, Speech | FunctionCall)
    ]


ANSWERED = [caller("order 427"), *call("get_order_status", {"order_id": "427"}, {"status": "shipped"})]
TOLD = agent(f"The status is shipped. {ANYTHING_ELSE}")


def test_the_greeting_names_the_company() -> None:
    assert respond() == ["Hello, thank you for calling Northwind Outfitters. How can I help you?"]


@pytest.mark.parametrize("quoted", ['"Welcome to \\"Northwind\\"."', '“Welcome to "Northwind".”'])
def test_what_the_instructions_dictate_is_said_word_for_word(quoted: str) -> None:
    assert respond(instructions=f"Say exactly: {quoted}") == ['Welcome to "Northwind".']


def test_a_dictated_greeting_among_other_instructions_is_said_once() -> None:
    instructions = f'{INSTRUCTIONS} First say exactly: "Welcome." Then help.'
    assert respond(instructions=instructions) == ["Welcome."]
    assert respond(agent("Welcome."), caller("order 427"), instructions=instructions) == [
        'get_order_status {"order_id":"427"}'
    ]


def test_an_order_question_becomes_a_tool_call() -> None:
    assert respond(caller("Hi, I'd like to know the status of order number 4 27.")) == [
        'get_order_status {"order_id":"427"}'
    ]


def test_the_result_is_told_after_the_function_returned() -> None:
    assert respond(*ANSWERED) == [f"The status is shipped. {ANYTHING_ELSE}"]


def test_an_error_is_told_as_an_apology() -> None:
    failed = call("get_order_status", {"order_id": "427"}, {"error": "the shop did not answer in time"})
    assert respond(caller("order 427"), *failed) == [
        "I am sorry, that did not work. The shop did not answer in time. Can I help you with something else?"
    ]


def test_all_results_of_one_response_are_told_together() -> None:
    other = [dict(item, call_id="c2") for item in call("get_order_status", {"order_id": "12"}, {"status": "lost"})]
    assert respond(*ANSWERED, *other) == [f"The status is shipped. The status is lost. {ANYTHING_ELSE}"]


def test_a_missing_argument_is_asked_for_and_then_used() -> None:
    first = caller("I ordered a pair of boots two weeks ago and they still haven't arrived.")
    question = "Could you tell me the order number, please?"
    assert respond(first) == [question]
    assert respond(first, agent(question), caller("one moment please")) == ["Take your time."]
    assert respond(first, agent(question), caller("It's 5 5 1, 2 0 9.")) == ['get_order_status {"order_id":"551209"}']
    assert respond(first, agent(question), caller("It is blue.")) == [question]


def test_arguments_are_gathered_over_several_turns() -> None:
    items = [
        caller("I'd like to book an appointment"),
        agent("Could you tell me the day, please?"),
        caller("next Tuesday"),
        agent("Could you tell me the time of day, please?"),
    ]
    assert respond(*items[:3]) == [items[3]["content"][0]["transcript"]]
    assert respond(*items, caller("at ten thirty")) == ['book_appointment {"date":"2026-11-24","time":"10:30"}']


def test_a_correction_calls_the_last_tool_again() -> None:
    assert respond(*ANSWERED, TOLD, caller("No, I meant 237, not 2311.")) == ['get_order_status {"order_id":"237"}']


@pytest.mark.parametrize("interruption", ["Wait, wait.", "Sorry stop", "Hold on a second."])
def test_a_caller_who_interrupts_is_listened_to(interruption: str) -> None:
    assert respond(*ANSWERED, agent("The status"), caller(interruption)) == [
        "Sure, go ahead. What would you like to know?"
    ]


def test_an_interruption_with_a_question_is_answered() -> None:
    assert respond(*ANSWERED, agent("The"), caller("Wait, where is order 551?")) == [
        'get_order_status {"order_id":"551"}'
    ]


def test_goodbye_ends_the_call_in_the_same_answer() -> None:
    assert respond(caller("That's all, thanks. Bye.")) == ["Thank you for calling. Bye bye!", "hang_up {}"]
    assert respond(caller("That's all, thanks. Bye."), tools=[ORDER_STATUS]) == ["Thank you for calling. Bye bye!"]


def test_nothing_else_is_a_goodbye_too() -> None:
    assert respond(*ANSWERED, TOLD, caller("No, thank you."), tools=[HANG_UP])[-1] == "hang_up {}"


def test_nothing_is_said_after_hanging_up() -> None:
    assert respond(caller("Bye."), agent("Goodbye!"), *call("hang_up", {}, {"ok": True})) == []


def test_a_human_is_fetched_when_there_is_a_way() -> None:
    heard = caller("Can I speak to a human, please?")
    assert respond(heard, tools=[TRANSFER]) == ['transfer_to_human {"reason":"Can I speak to a human, please?"}']
    assert respond(heard, tools=[])[0].startswith("I am sorry, nobody is free")


def test_more_is_long_enough_to_be_interrupted() -> None:
    (story,) = respond(*ANSWERED, TOLD, caller("Tell me more about it."))
    assert len(story) > 400
    assert "shipped" in story


def test_a_question_is_answered_from_the_instructions() -> None:
    assert respond(caller("What are your opening hours on Saturday?"))[0].startswith(
        "Our opening hours on Saturday are nine to five."
    )


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("", "I did not understand you."),
        ("...", "I did not understand you."),
        ("Hi there, how are you today?", "I am very well"),
        ("Thank you.", "You are welcome."),
        ("Are you a real person or a computer?", "I am a computer"),
        ("Sorry, can you say that again?", "Of course. How can I help?"),
        ("Okay.", ANYTHING_ELSE),
        ("Yes, that's correct.", "All right."),
        ("This is ridiculous!", "I am very sorry about that."),
        ("Purple elephants.", "I am sorry, I did not understand that. I can look up the status"),
    ],
)
def test_small_talk_has_an_answer(heard: str, said: str) -> None:
    (answer,) = respond(agent("How can I help?"), caller(heard))
    assert answer.startswith(said)


def test_tool_choice_is_honoured() -> None:
    order = caller("order 427")
    assert not respond(order, choice="none")[0].startswith("get_order_status")
    assert respond(caller("hello"), choice="required", tools=[ORDER_STATUS]) == ['get_order_status {"order_id":""}']
    assert respond(order, choice={"type": "function", "name": "send_invoice_copy"}) == [
        'send_invoice_copy {"email":""}'
    ]
    assert respond(*ANSWERED, choice="required") == [f"The status is shipped. {ANYTHING_ELSE}"]


def test_without_anything_new_the_caller_is_asked_to_speak() -> None:
    assert respond(agent("Hello!")) == ["Are you still there? How can I help you?"]


def test_hostile_items_are_passed_over() -> None:
    odd: list[Item] = [
        {},
        {"type": "message", "role": "user", "content": "text"},
        {"type": "message", "role": "user", "content": [5, {"transcript": 7}]},
        {"type": "function_call", "arguments": "[" * 20_000},
        {"type": "function_call_output", "output": None},
        caller("x " * 100_000),
    ]
    assert respond(*odd)[0].startswith("I am sorry, I did not understand that.")


def test_the_same_context_gives_the_same_answer() -> None:
    assert respond(*ANSWERED) == respond(*ANSWERED)

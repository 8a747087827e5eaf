"""One response at a time, and no wish lost."""

from gateway.core.responses import ResponseSlot, SlotState


def test_a_wish_is_asked_at_once_when_the_slot_is_free() -> None:
    slot = ResponseSlot()
    slot.want()
    assert len(slot.ask()) == 1
    assert slot.state is SlotState.ASKED
    assert slot.ask() == []


def test_a_wish_waits_for_the_running_response() -> None:
    slot = ResponseSlot()
    slot.created("r1", "")
    slot.want()
    assert slot.ask() == []
    assert slot.done("r1")
    assert len(slot.ask()) == 1


def test_two_wishes_become_one_response() -> None:
    slot = ResponseSlot()
    slot.created("r1", "")
    slot.want(outputs={"a"})
    slot.want(outputs={"b"})
    slot.done("r1")
    assert len(slot.ask()) == 1
    assert not slot.wanted


def test_a_response_that_the_server_began_after_it_had_the_outputs_answers_them() -> None:
    slot = ResponseSlot()
    slot.created("r1", "")
    slot.want(outputs={"a"})
    slot.output_accepted("a")
    slot.done("r1")
    slot.created("r2", "")
    slot.done("r2")
    assert not slot.wanted


def test_a_response_that_began_before_the_outputs_does_not_answer_them() -> None:
    slot = ResponseSlot()
    slot.want(outputs={"a"})
    slot.ask()
    slot.created("r2", "")
    slot.output_accepted("a")
    slot.refused("w1")
    slot.done("r2")
    assert len(slot.ask()) == 1


def test_a_refused_wish_is_kept_and_asked_again() -> None:
    slot = ResponseSlot()
    slot.want()
    first = slot.ask()[0]
    slot.refused(first.wish_id)
    slot.busy()
    assert slot.ask() == []
    slot.done("whichever")
    assert slot.ask()[0].wish_id == first.wish_id


def test_a_wish_rejected_for_what_it_says_is_not_asked_again() -> None:
    slot = ResponseSlot()
    slot.want()
    slot.rejected(slot.ask()[0].wish_id)
    assert slot.ask() == []
    assert slot.state is SlotState.FREE


def test_the_end_of_another_response_does_not_free_the_slot() -> None:
    slot = ResponseSlot()
    slot.created("r1", "")
    assert not slot.done("r0")
    assert slot.state is SlotState.ACTIVE

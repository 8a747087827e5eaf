"""What a transcript refuses plainly, in four languages; in doubt the caller is asked once more."""

import pytest

from gateway.core.refusal import refuses


@pytest.mark.parametrize(
    "text",
    [
        *(
            "no never do that",
            "No.",
            "Nope, don't.",
            "Don\u2019t!",
            "Absolutely not.",
            "Please don't do that",
            "I said no",
        ),
        *("Do not book it.", "yeah no", "not sure", "Hmm. No.", "Stop, please.", "Cancel.", "Wait, what time?", ""),
        *("No, do it on Saturday.", "Nein!", "Nein, danke.", "Nein, ja doch nicht.", "Bitte nicht.", "Auf keinen Fall"),
        *("Das will ich nicht", "No, gracias.", "No quiero eso", "Nunca", "Non merci", "Je ne veux pas", "Surtout pas"),
    ],
)
def test_a_plain_refusal_is_found(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Yes please.",
            "no, yes do it",
            "No, no, yes!",
            "no wait yes do it",
            "No problem, go ahead.",
            "Why not?",
            "OK",
        ),
        *("I don't mind.", "Yes, I do not mind.", "Mm-hm.", "Cancel it, please.", "Friday at nine", "No, go ahead."),
        *(
            "Nein, warte, ja.",
            "Kein Problem.",
            "Ja, aber nicht zu spät",
            "Warum nicht?",
            "Nein, machen Sie es.",
            "Bitte",
        ),
        *(
            "No, sí, hazlo.",
            "No hay problema",
            "¡Sí!",
            "Non, allez-y",
            "Pas de problème",
            "Oui, pourquoi pas",
            "D'accord",
        ),
    ],
)
def test_what_agrees_or_says_something_else_is_no_refusal(text: str) -> None:
    assert not refuses(text)

"""What a caller says that is no request for a tool, and what to answer."""

import re
from enum import Enum, auto

__all__ = ["ANYTHING_ELSE", "REPLIES", "Intent", "intent_of"]

ANYTHING_ELSE = "What else can I do for you?"
"""This and the replies are worded so that a recogniser, too, understands the synthesiser on a telephone line."""


class Intent(Enum):
    """Checked in this order."""

    GOODBYE = auto()
    ROBOT = auto()
    HUMAN = auto()
    REPEAT = auto()
    NOT_ASKED = auto()
    STOP = auto()
    MOMENT = auto()
    MORE = auto()
    HOW_ARE_YOU = auto()
    YES = auto()
    NO = auto()
    THANKS = auto()
    LISTENING = auto()
    GREETING = auto()
    COMPLAINT = auto()


PATTERNS = {
    Intent.GOODBYE: r"\b(?:good ?bye|bye|by now|see you|that(?:'s| is) all|nothing else|hang up|that will be all)\b"
    r"|\bhave a (?:nice|good|great) (?:day|one|evening)\b",
    Intent.ROBOT: r"\bare you (?:an? )?(?:real|human|robot|computer|machine|bot|ai|person)\b",
    Intent.HUMAN: r"\b(?:human|operator|real person|representative|supervisor|manager|transfer me|customer service)\b"
    r"|\b(?:speak|talk|connect me|put me through) (?:to|with) (?:an? |the )?(?:agent|person|someone|somebody)\b",
    Intent.REPEAT: r"\b(?:say (?:that|it) again|repeat (?:that|it|please)|come again|pardon|(?:more )?slow(?:ly|er)|"
    r"what did you say|didn't (?:hear|catch|get) (?:you|that))\b",
    Intent.NOT_ASKED: r"\bnot what i (?:asked|meant|said|wanted)\b"
    r"|\b(?:that's|that is) (?:wrong|not right|incorrect)\b",
    Intent.STOP: r"^\W*(?:no|oh|sorry|please|okay|ok|excuse me)?\W*"
    r"(?:wait|stop|hold on|hang on|listen|one second|enough)\b",
    Intent.MOMENT: r"\b(?:(?:one|1) moment|let me (?:think|see|check|find it))\b"
    r"|\b(?:just|give me) a (?:moment|second|minute)\b",
    Intent.MORE: r"\b(?:tell me more|more (?:about|details?|information)|explain|go on|how does (?:that|it|this) work|"
    r"what can you do|the whole story|why is that)\b",
    Intent.HOW_ARE_YOU: r"\bhow are you\b|\bhow(?:'s| is) it going\b",
    Intent.YES: r"^\W*(?:yes|yeah|yep|sure|correct|exactly|absolutely|please do|go ahead|that's (?:right|correct))\b",
    Intent.NO: r"^\W*(?:no|nope|not really|never ?mind)\b",
    Intent.THANKS: r"\b(?:thank you|thanks|cheers|lovely|perfect|great)\b",
    Intent.LISTENING: r"^\W*(?:m+\W?h[uam]m?|mm+|uh[ -]?huh|ok(?:ay)?|right|i see|all right|alright|hm+)\W*$",
    Intent.GREETING: r"\b(?:hello|hi|hey|good (?:morning|afternoon|evening)|anyone there)\b",
    Intent.COMPLAINT: r"\b(?:ridiculous|unacceptable|complain|complaint|terrible|angry|money back|already told)\b",
}
COMPILED = {intent: re.compile(pattern) for intent, pattern in PATTERNS.items()}

REPLIES = {
    Intent.GOODBYE: "Thank you for calling. Bye bye!",
    Intent.HUMAN: "I am sorry, nobody is free to take over right now. What can I do for you?",
    Intent.NOT_ASKED: "I am sorry. Please tell me again what you would like to know.",
    Intent.STOP: "Sure, go ahead. What would you like to know?",
    Intent.MOMENT: "Take your time.",
    Intent.ROBOT: "I am a computer, but I will do my best to help you. What can I do for you?",
    Intent.HOW_ARE_YOU: "I am very well, thank you. How can I help you?",
    Intent.YES: "All right. What can I do for you?",
    Intent.NO: f"All right. {ANYTHING_ELSE}",
    Intent.THANKS: f"You are welcome. {ANYTHING_ELSE}",
    Intent.LISTENING: ANYTHING_ELSE,
    Intent.GREETING: "Hello! How can I help you?",
    Intent.COMPLAINT: "I am very sorry about that. Tell me what I can do, and I will start with it right away.",
}


def intent_of(text: str) -> Intent | None:
    """Return what kind of small talk the text is, or None."""
    lower = text.lower().replace("’", "'")[:500]
    return next((intent for intent, pattern in COMPILED.items() if pattern.search(lower)), None)

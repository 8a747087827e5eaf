"""The small words by which a statement is no claim, in English, German and Spanish; lower case. See `claims.py`."""

__all__ = [
    "ADVERBS",
    "ASKING",
    "CLOSING",
    "CONDITIONS",
    "CONDITION_PAIRS",
    "CUTS",
    "FOLLOWING",
    "GAP_RELATIVES",
    "HARD_CUTS",
    "HARMLESS",
    "NEGATIONS",
    "OWN",
    "PRONOUNS",
    "REPORTS",
    "THAT",
    "WISHES",
]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


NEGATIONS = _set(
    "not never neither nor no nobody none nothing without hardly unable "
    "nicht kein keine keinen keinem keiner keines nie niemals nichts ohne weder niemand "
    "nunca jamás nada ningún ninguna ninguno tampoco sin nadie"
)
HARMLESS = _set("problem worry worries trouble doubt problema dude preocupe sorge sorgen")
"""Right after a negation they make it a figure of speech: "no problem", "don't worry"."""
MODALS = _set(
    "will would can could shall should might must 'd almost nearly being yet supposed "
    "werde werden würde würden kann könnte könnten soll sollte sollten muss müsste fast beinahe erst "
    "podría debería casi aún todavía"
)
"""Between the words of a phrase they make it a plan."""
AUXILIARIES = _set("is are was were be do does did 'm sind war waren son fue eran")
RELATIVES = _set("that which who whom whose because but or oder aber dass weil pero porque que quien sondern")
GAP_RELATIVES = _set("den die das der dem was wo welche welchen welches")
"""After a comma between the words of a phrase they begin another statement."""
PRONOUNS = _set("it he she that there what who here")
"""An 's after them is a verb."""
CONDITIONS = _set(
    "if once when whenever unless until till before after whether assuming provided suppose case soon "
    "wenn sobald falls bevor ehe nachdem ob bis sofern "
    "si cuando antes después hasta siempre mientras"
)
CLOSING = NEGATIONS | MODALS | AUXILIARIES | RELATIVES | CONDITIONS
"""Between the words of a phrase they deny it or begin another statement."""
CONDITION_PAIRS = {
    ("make", "sure"),
    ("so", "that"),
    ("as", "though"),
    ("una", "vez"),
    ("en", "cuanto"),
    ("para", "que"),
}
FOLLOWING = _set(
    "if once when whenever unless provided assuming subject pending nothing no none neither "
    "wenn sobald falls sofern nichts keinen keine si cuando nada ningún ninguna"
)
"""Right after a phrase they take it back: "is cancelled if", "I have booked nothing"."""
WISHES = _set(
    "hope wish want need check verify ensure assume guess imagine pretend thought seems appears see shows "
    "hoffe hoffen prüfe prüfen dachte sehe scheint angeblich "
    "espero ojalá quiero compruebo verifico veo parece creía "
    "yesterday last previous previously gestern letzte letzten letztes letzter damals ayer pasada pasado"
)
"""What is wished for, looked up, or long past."""
REPORTS = _set(
    "said say says saying told tells think thinks believe believes claim claims claimed heard hear wrote writes "
    "mentioned promised states stated reads "
    "sagte sagten sagen sagt gesagt meinte meinten behauptet behaupten glauben denken geschrieben steht erzählt "
    "versprochen "
    "dijo dijeron dice dicen decía dicho cree creen escribió afirma afirmó contó prometió"
)
OWN = _set("i we ich wir can to let me")
"""Just before a word of reporting the agent speaks for itself: "I can say", "I told you"."""
ADVERBS = _set("already just now also did have bereits schon habe haben ya")
CUTS = _set(", : - and but so because und aber denn doch y pero")
"""What is denied or wished for before one of these is another matter."""
HARD_CUTS = _set(", : - but aber pero")
"""The same of conditions and of the words of others."""
THAT = _set("that dass que if ob")
ASKING = _set(
    "shall should can could would may do did does is are was have has what when which who how where why "
    "soll sollen kann können darf möchten wollen wann was wer wie haben hat ist sind "
    "quiere desea puedo podría qué cuándo cuál cómo"
)
"""A sentence that begins with one of these and ends with a question mark is a question to its end."""

"""Decides what to answer: no model, no chance, no memory but the conversation itself.

The order of decisions is the theory of this file: what the instructions dictate; what a function returned; small talk
that overrules everything (goodbye, a human, repeat); a tool the caller asks for; the rest of a request begun before;
a correction of the last request; other small talk; a sentence of the instructions that answers the question; and
last, that it was not understood. One answer never depends on anything but `Context` and the date.

Unlike the service, a tool is not called again right after its own output, even when `tool_choice` demands tools:
the service would go on for ever.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from gateway.simulator.engine import Answer, Context, FunctionCall, Speech
from gateway.simulator.local import matcher
from gateway.simulator.local.conversation import Called, Entry, Line, Returned, read_items
from gateway.simulator.local.matcher import Match
from gateway.simulator.local.readback import read_back
from gateway.simulator.local.slots import Slot, slot_of
from gateway.simulator.local.smalltalk import ANYTHING_ELSE, REPLIES, Intent, intent_of
from gateway.simulator.local.tools import Parameter, Tool, read_tools, words_of_name

__all__ = ["Brain"]

EXACTLY = re.compile(r"say exactly\s*:?\s*(?:\"((?:[^\"\\]|\\.){1,1000})\"|“([^”]{1,1000})”)", re.IGNORECASE)
COMPANY = re.compile(r"\b(?:for|of|at|from) ((?:[A-Z][\w&']{1,30})(?: [A-Z][\w&']{1,30}){0,3})")
HANG_UP = {"hang_up", "hangup", "end_call"}
HAND_OVER = {"transfer", "human", "operator", "handoff", "escalate"}
NOT_CAUGHT = "I did not understand you. Please say that again."
STILL_THERE = "Are you still there? How can I help you?"
MAX_STORY_CHARS = 1200


@dataclass(slots=True, frozen=True)
class Scene:
    """One response to make."""

    tools: Sequence[Tool]
    """Those that may be called now."""
    entries: Sequence[Entry]
    instructions: str
    heard: str
    """The caller's last line."""

    @property
    def last_said(self) -> str:
        return next((e.text for e in reversed(self.entries) if isinstance(e, Line) and not e.from_caller), "")

    @property
    def before(self) -> list[str]:
        """The caller's lines since the last function call, without the last one."""
        return self._lines_since_call()[:-1]

    def _lines_since_call(self) -> list[str]:
        lines: list[str] = []
        for entry in reversed(self.entries):
            if isinstance(entry, Called):
                break
            if isinstance(entry, Line) and entry.from_caller:
                lines.append(entry.text)
        return lines[::-1]


class Brain:
    """Makes the answers of the local engine."""

    def __init__(self, today: Callable[[], date]) -> None:
        """`today` is what "tomorrow" is counted from."""
        self._today = today

    def respond(self, context: Context) -> Answer:
        """Return the next answer; the same context always gives the same."""
        entries = read_items(context.items)
        if dictated := _dictated(context.instructions, entries):
            return Answer([Speech(dictated)])
        if outputs := _fresh_outputs(entries):
            return _tell(outputs, entries)
        tools, forced = _allowed(context)
        heard = entries[-1] if entries else None
        text = heard.text if isinstance(heard, Line) and heard.from_caller else ""
        scene = Scene(tools, entries, context.instructions, text)
        if forced:
            return self._force(forced, scene)
        if not (isinstance(heard, Line) and heard.from_caller):
            return Answer([Speech(STILL_THERE if scene.last_said else _greeting(context.instructions))])
        return self._answer(scene)

    def _answer(self, scene: Scene) -> Answer:
        if not re.search(r"\w", scene.heard):
            return Answer([Speech(NOT_CAUGHT)])
        intent = intent_of(scene.heard)
        nothing_else = intent is Intent.NO and len(scene.heard.split()) <= 4 and scene.last_said.endswith(ANYTHING_ELSE)
        if intent is Intent.GOODBYE or nothing_else:
            return _farewell(scene)
        if intent is Intent.HUMAN:
            return self._hand_over(scene)
        if intent is Intent.REPEAT and scene.last_said:
            return Answer([Speech(f"Of course. {scene.last_said.removeprefix('Of course. ')}")])
        if intent is Intent.ROBOT:
            return Answer([Speech(REPLIES[intent])])
        wish = self._wish(scene)
        if intent is Intent.MORE and (wish is None or wish.missing):
            return Answer([Speech(_story(scene))])
        if intent in {Intent.NOT_ASKED, Intent.STOP, Intent.MOMENT} and (wish is None or wish.missing):
            return Answer([Speech(REPLIES[intent])])
        if wish:
            return _call_or_ask(wish)
        if intent:
            return Answer([Speech(REPLIES[intent])])
        return Answer([Speech(_from_instructions(scene) or _not_understood(scene))])

    def _wish(self, scene: Scene) -> Match | None:
        """Return the call the caller wants: asked for now, begun before, or the last one corrected."""
        today = self._today()
        callable_now = [tool for tool in scene.tools if tool.name not in HANG_UP]
        now = next(iter(matcher.rank(callable_now, scene.heard, today)), None)
        begun = self._begun(callable_now, scene)
        if begun and (now is None or now.tool.name == begun.tool.name or (begun.missing is None and now.missing)):
            return begun
        if now and not begun and now.missing and (corrected := self._corrected(callable_now, scene, now.tool)):
            return corrected
        return now or self._corrected(callable_now, scene, None)

    def _begun(self, tools: Sequence[Tool], scene: Scene) -> Match | None:
        """Return the request that an earlier line began and this one goes on with."""
        today = self._today()
        texts = scene.before
        for at in range(len(texts) - 1, -1, -1):
            if intent_of(texts[at]) in {Intent.GOODBYE, Intent.NO, Intent.NOT_ASKED}:
                return None
            found = next(iter(matcher.rank(tools, texts[at], today)), None)
            if found is None:
                continue
            known = matcher.arguments_for(found.tool, texts[at:], today)
            asked = _asked(found.tool, scene.last_said)
            full = matcher.arguments_for(found.tool, [*texts[at:], scene.heard], today, asked=asked)
            begun = Match(found.tool, full, found.score)
            # Without anything new the question is asked once more, but only if it was the last thing said.
            return begun if full != known or asked else None
        return None

    def _corrected(self, tools: Sequence[Tool], scene: Scene, only: Tool | None) -> Match | None:
        """Return the last call with what this line gives anew ("No, I meant two three seven")."""
        last = next((entry for entry in reversed(scene.entries) if isinstance(entry, Called)), None)
        tool = next((tool for tool in tools if last and tool.name == last.name), None)
        if last is None or tool is None or (only and only.name != tool.name):
            return None
        found = matcher.arguments_for(tool, [scene.heard], self._today())
        new = {p.name: found[p.name] for p in tool.parameters if p.name in found and slot_of(p) is not Slot.FREE}
        if not new or all(last.arguments.get(name) == value for name, value in new.items()):
            return None
        return Match(tool, {**last.arguments, **new}, 0.0)

    def _hand_over(self, scene: Scene) -> Answer:
        tool = next((t for t in scene.tools if set(words_of_name(t.name)) & HAND_OVER), None)
        if tool is None:
            return Answer([Speech(REPLIES[Intent.HUMAN])])
        arguments = matcher.arguments_for(tool, [scene.heard], self._today())
        return Answer([_function_call(tool, matcher.with_placeholders(tool, arguments))])

    def _force(self, tools: Sequence[Tool], scene: Scene) -> Answer:
        """Call one of the tools, whatever was said."""
        today = self._today()
        best = next(iter(matcher.rank(tools, scene.heard, today)), None)
        tool = best.tool if best else tools[0]
        arguments = matcher.arguments_for(tool, [*scene.before, scene.heard], today)
        return Answer([_function_call(tool, matcher.with_placeholders(tool, arguments))])


def _dictated(instructions: str, entries: Sequence[Entry]) -> str:
    """Return the sentence the instructions want word for word; once only when they also say other things."""
    found = EXACTLY.search(instructions)
    if found is None:
        return ""
    sentence = re.sub(r"\\(.)", r"\1", found[1]) if found[1] else found[2]
    said_before = any(isinstance(e, Line) and not e.from_caller and e.text == sentence for e in entries)
    return sentence if found.start() == 0 or not said_before else ""


def _fresh_outputs(entries: Sequence[Entry]) -> list[Returned]:
    """Return the outputs nobody has talked about yet."""
    outputs: list[Returned] = []
    for entry in reversed(entries):
        if isinstance(entry, Line):
            break
        if isinstance(entry, Returned):
            outputs.append(entry)
    return outputs[::-1]


def _tell(outputs: Sequence[Returned], entries: Sequence[Entry]) -> Answer:
    calls = {entry.tool_call_id: entry for entry in entries if isinstance(entry, Called)}
    told = []
    for output in outputs:
        call = calls.get(output.tool_call_id)
        if call and call.name in HANG_UP:
            continue  # the farewell has been said
        told.append(read_back(output.output, call.arguments if call else {}))
    if not told:
        return Answer()
    text = " ".join(told)
    return Answer([Speech(text if text.endswith("?") else f"{text} {ANYTHING_ELSE}")])


def _allowed(context: Context) -> tuple[list[Tool], list[Tool]]:
    """Return the tools that may be called and those of which one must be, by `tool_choice`."""
    tools = read_tools(context.tools)
    choice = context.tool_choice
    if isinstance(choice, Mapping):
        nested = choice.get("function")
        name = choice.get("name") or (nested.get("name") if isinstance(nested, Mapping) else None)
        named = [tool for tool in tools if tool.name == name]
        return named or tools, named
    if choice == "none":
        return [], []
    return tools, tools if choice == "required" else []


def _call_or_ask(wish: Match) -> Answer:
    if missing := wish.missing:
        return Answer([Speech(_question(missing))])
    return Answer([_function_call(wish.tool, wish.arguments)])


def _question(missing: Parameter) -> str:
    if missing.choices and len(missing.choices) <= 5:
        *first, last = [str(choice).replace("_", " ") for choice in missing.choices]
        return f"Which {missing.spoken} would you like: {', '.join(first)}{' or ' if first else ''}{last}?"
    return f"Could you tell me the {missing.spoken}, please?"


def _asked(tool: Tool, said: str) -> Parameter | None:
    """Return the parameter our last line asked for; a line cut by a barge-in counts when its beginning is clear."""
    for parameter in tool.parameters:
        question = _question(parameter)
        if said and (said.endswith(question) or (len(said) > 30 and question.startswith(said))):
            return parameter
    return None


def _function_call(tool: Tool, arguments: Mapping[str, object]) -> FunctionCall:
    return FunctionCall(tool.name, json.dumps(arguments, ensure_ascii=False, separators=(",", ":")))


def _farewell(scene: Scene) -> Answer:
    farewell = Speech(REPLIES[Intent.GOODBYE])
    tool = next((tool for tool in scene.tools if tool.name in HANG_UP), None)
    if tool is None:
        return Answer([farewell])
    known = {p.name: "the caller said goodbye" for p in tool.parameters if p.required and slot_of(p) is Slot.FREE}
    return Answer([farewell, _function_call(tool, matcher.with_placeholders(tool, known))])


def _greeting(instructions: str) -> str:
    company = COMPANY.search(instructions)
    return f"Hello, thank you for calling{f' {company[1]}' if company else ''}. How can I help you?"


def _story(scene: Scene) -> str:
    """Return a long answer: what was said last, what can be done, and how: something a caller may well interrupt."""
    told = scene.last_said.removesuffix(ANYTHING_ELSE).strip()
    parts = ["Certainly, let me go through it step by step."]
    if told and len(told) < 300 and not told.startswith("Certainly"):
        parts.append(f"What I have told you so far is this. {told}")
    parts += [f"On this line {wish}." for wish in _wishes(scene.tools)]
    parts += [
        "You can ask me in your own words, and I will ask back when something is missing.",
        "When you give me a number, please say it digit by digit, and I will read it back to you.",
        "If I say something wrong, just interrupt me, and tell me the right thing.",
    ]
    return f"{' '.join(parts)[:MAX_STORY_CHARS]} {ANYTHING_ELSE}"


def _wishes(tools: Sequence[Tool]) -> list[str]:
    named = []
    for tool in tools:
        if tool.name in HANG_UP:
            continue
        first = re.split(r"[.;\n(]", tool.description, maxsplit=1)[0].strip() or " ".join(words_of_name(tool.name))
        named.append(f"I can {first[0].lower()}{first[1:100]}".replace("the caller", "you"))
    return named[:4]


def _from_instructions(scene: Scene) -> str:
    """Return the sentence of the instructions that shares two meaningful words with the question, if one does."""
    asked = matcher.concepts(scene.heard)
    best, most = "", 1
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", scene.instructions[:8000]):
        rule = re.match(
            r"\W*(?:you|your|never|always|do|don't|if|when|be|keep|use|ask|say|speak|call)\b", sentence, re.I
        )
        shared = len(asked & matcher.concepts(sentence))
        if not rule and shared > most and len(sentence) <= 300:
            best, most = sentence.strip(" -*"), shared
    return f"{best} {ANYTHING_ELSE}" if best else ""


def _not_understood(scene: Scene) -> str:
    wishes = _wishes(scene.tools)
    offer = f" {' and '.join(wishes[:2])}." if wishes else " Could you put it another way?"
    return f"I am sorry, I did not understand that.{offer}"

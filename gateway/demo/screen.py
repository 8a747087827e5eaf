"""Shows a call while it lives: a screen of its own in a terminal, plain lines anywhere else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.agents import DEFAULT_MODEL
from gateway.demo.watch import Talk, Watch

__all__ = ["show"]

FRESH_S = 0.15
"""The picture is drawn anew this often."""
SIDE = 34
"""Columns of the right-hand panels."""
NAMES = {"caller": ("caller", "bold blue"), "agent": ("agent", "bold green"), "tool": ("webhook", "bold yellow")}
INDENT = 14
"""Columns of time and name."""
BAR_MS = 120
"""Latency that one cell of a bar stands for."""


@asynccontextmanager
async def show(watch: Watch, console: Console) -> AsyncIterator[None]:
    """Show the call until the block ends."""
    if console.quiet:
        yield
        return
    if not console.is_terminal or console.is_dumb_terminal:
        watch.tell = lambda at_s, who, what: console.print(
            Text.assemble(f"{at_s:7.2f} s  ", (f"{who:<9}", NAMES.get(who, ("", "dim"))[1]), what), soft_wrap=True
        )
        try:
            yield
        finally:
            watch.flush()
        return
    screen = _Screen(watch)
    with Live(screen.draw(), console=console, auto_refresh=False, screen=True) as live:
        async with asyncio.TaskGroup() as group:
            drawing = group.create_task(_draw(screen, live))
            try:
                yield
            finally:
                drawing.cancel()


async def _draw(screen: "_Screen", live: Live) -> None:
    while True:
        live.update(screen.draw(), refresh=True)
        await asyncio.sleep(FRESH_S)


class _Screen:
    """Draws the watch; remembers how much audio there was at the last drawing, to tell who is speaking."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._audio = {"caller": 0, "agent": 0}
        self._drawn = 0

    def draw(self) -> RenderableType:
        self._drawn += 1
        layout = Layout()
        layout.split_column(Layout(self._head(), size=1), Layout(name="body"), Layout(self._foot(), size=1))
        layout["body"].split_row(Layout(_conversation(self._watch), name="talk"), Layout(name="side", size=SIDE))
        layout["side"].split_column(
            Layout(self._line(), size=5),
            Layout(_turns(self._watch), name="turns"),
            Layout(_money(self._watch), size=4),
        )
        return layout

    def _head(self) -> Text:
        watch = self._watch
        title = Text(" gateway demo ", style="bold reverse")
        return title.append(f"  {watch.phase}", style="not reverse").append(
            f"   {watch.at_s:5.1f} s" if watch.at_s else "", style="dim"
        )

    def _foot(self) -> Text:
        return Text(
            " real speech models, sockets, signatures; simulated: the telephone network.  Ctrl-C ends it.", "dim"
        )

    def _line(self) -> Panel:
        rows = Table.grid(padding=(0, 1))
        for who in ("caller", "agent"):
            speaking = self._speaks(who)
            meter = "▁▃▅▇▅▃" * 2
            shift = self._drawn % 6
            sound = meter[shift : shift + 6] if speaking else "······"
            name, style = NAMES[who]
            rows.add_row(
                Text(name, style),
                Text(sound, style if speaking else "dim"),
                "speaking" if speaking else Text("quiet", "dim"),
            )
        barge_in = next((talk for talk in reversed(self._watch.talks.values()) if talk.heard_ms is not None), None)
        cut = Text(f"barge-in: {barge_in.heard_ms} ms heard", "bold red") if barge_in else Text("")
        return Panel(Group(rows, cut), title="line", title_align="left")

    def _speaks(self, who: str) -> bool:
        report = self._watch.report
        if report is None:
            return False
        segments = report.media.said if who == "caller" else report.media.heard
        audio = sum(len(segment.audio) for segment in segments)
        before, self._audio[who] = self._audio[who], audio
        return audio > before


def _conversation(watch: Watch) -> Panel:
    talks = sorted(watch.talks.values(), key=lambda talk: talk.at_s)
    shown = [talk for talk in talks if talk.text or talk.who == "caller"]
    return Panel(_Tail(shown), title="conversation", title_align="left")


def _said(talk: Talk) -> Text:
    """Return what was said, as far as it is known; of an interrupted answer what was not heard is struck out."""
    if not talk.text:
        return Text("…", "dim")
    if talk.heard_ms is None or not talk.received_ms:
        return Text.assemble((talk.text, "" if talk.done else "italic"), ("" if talk.done else " …", "dim"))
    # Which words were heard is not known exactly: speech is even enough to show it by length.
    heard = talk.text.rfind(" ", 0, 1 + round(len(talk.text) * talk.heard_ms / talk.received_ms)) + 1
    cut = (f"✂ {talk.heard_ms} ms ", "bold red")
    return Text.assemble(talk.text[:heard], cut, (talk.text[heard:], "dim strike"))


class _Tail:
    """As many of the last lines of the conversation as there is room for."""

    def __init__(self, talks: list[Talk]) -> None:
        self._talks = talks

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [row for talk in self._talks for row in _rows(talk, console, options.max_width)]
        yield Group(*rows[-(options.height or console.height) :])


def _rows(talk: Talk, console: Console, width: int) -> list[Text]:
    """Return a line as rows, the later ones indented."""
    name, style = NAMES.get(talk.who, ("", "dim"))
    wrapped = _said(talk).wrap(console, max(10, width - INDENT))
    heads = [Text.assemble((f"{talk.at_s:5.1f} ", "dim"), (f"{name:<8}", style))]
    heads += [Text(" " * INDENT)] * (len(wrapped) - 1)
    return [Text.assemble(head, row) for head, row in zip(heads, wrapped, strict=True)]


def _turns(watch: Watch) -> Panel:
    rows = Table.grid(padding=(0, 1))
    for number, turn in enumerate(watch.turns[-10:], max(1, len(watch.turns) - 9)):
        bar = "█" * max(1, min(14, round(turn.ms / BAR_MS)))
        rows.add_row(Text(f"{number:2}", "dim"), Text(f"{turn.ms:5} ms"), Text(bar, "magenta"))
    body: RenderableType = rows if watch.turns else Text("until the agent answers", "dim")
    return Panel(body, title="latency per turn", title_align="left")


def _money(watch: Watch) -> Panel:
    return Panel(
        Group(Text(f"${watch.spent_usd:.4f}", "bold"), Text(f"prices of {DEFAULT_MODEL}"[: SIDE - 4], "dim")),
        title="cost so far",
        title_align="left",
    )

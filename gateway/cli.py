"""The command line: parse and delegate. Every command imports what it needs itself, so `--help` answers at once."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.errors import GatewayError

__all__ = ["main"]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
agents_app = typer.Typer(no_args_is_help=True, help="The agents file.")
calls_app = typer.Typer(invoke_without_command=True, help="Calls that were taken: list them, show one.")
tools_app = typer.Typer(no_args_is_help=True, help="Functions of a model: an agent's, a document's, the ledger.")
deliveries_app = typer.Typer(no_args_is_help=True, help="What businesses were told of calls: list, show, send again.")
simulate_app = typer.Typer(no_args_is_help=True, help="A Realtime model, a telephone network, a load of calls.")
app.add_typer(agents_app, name="agents")
app.add_typer(calls_app, name="calls")
app.add_typer(tools_app, name="tools")
app.add_typer(deliveries_app, name="deliveries")
app.add_typer(simulate_app, name="simulate")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"gateway {version('voice-agent-gateway')}")
        raise typer.Exit


def main() -> None:
    """Run a command. What the user did wrong is told in one line, with exit code 2."""
    try:
        app()
    except GatewayError as problem:
        sys.stderr.write(f"gateway: {problem}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which one.")
    ] = False,
) -> None:
    """Telephone calls answered and placed by voice agents. Start with `gateway demo`, then `gateway check`."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; else GATEWAY_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; else GATEWAY_PORT.")] = None,
) -> None:
    """Answer calls. The first SIGTERM drains, the second stops."""
    from gateway.serve import serve as run

    run(host, port)


@app.command()
def demo(
    fast: Annotated[bool, typer.Option(help="Stop pausing where only a listener needs it.")] = False,
    live: Annotated[bool, typer.Option(help="Use the real model: needs OPENAI_API_KEY, costs a few cents.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the recording and the picture.")] = Path("demo-output"),
    as_json: AsJson = False,
) -> None:
    """A whole call on this machine, to hear and see: no keys, no network. Exit 0 when the call really worked."""
    from gateway.demo import DemoOptions, run_demo

    raise typer.Exit(run_demo(DemoOptions(fast=fast, live=live, out=out, as_json=as_json)))


@app.command()
def talk(
    wav: Annotated[Path | None, typer.Argument(help="Say this WAV or .ulaw file instead of the microphone.")] = None,
    url: Annotated[
        str | None,
        typer.Option(help="Realtime server; else GATEWAY_MODEL_URL when it is set; else a local model is started."),
    ] = None,
    live: Annotated[bool, typer.Option(help="Talk to the real model: needs OPENAI_API_KEY.")] = False,
    as_json: AsJson = False,
) -> None:
    """Talk to a model from the microphone or a file, without a telephone."""
    from gateway.talk import talk as run

    raise typer.Exit(run(wav, url, live=live, as_json=as_json))


@app.command()
def call(
    to: Annotated[str, typer.Argument(help="Number in E.164 form: +14155550123.")],
    agent: Annotated[str, typer.Option(help="Who speaks.")],
    zone: Annotated[str | None, typer.Option(help="The callee's IANA time zone, when known.")] = None,
    url: Annotated[str | None, typer.Option(help="The running gateway; else http://127.0.0.1:GATEWAY_PORT.")] = None,
    as_json: AsJson = False,
) -> None:
    """Place a call through the running gateway (POST /v1/calls)."""
    from gateway.outbound.command import place_call

    raise typer.Exit(place_call(to, agent, zone, url, as_json=as_json))


@app.command()
def operate(
    call_id: Annotated[str | None, typer.Argument(help="Id of a live call; --list shows them.")] = None,
    action: Annotated[
        str | None,
        typer.Argument(
            help="mute_caller, mute_agent, unmute, force_reply, cancel_reply, insert_memory, say, turn_taking, "
            "end_turn, send_digits, collect_digits, transfer or hang_up."
        ),
    ] = None,
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="[FIELD=VALUE]...", help='What the action takes: text="One moment."')
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the live calls instead.")] = False,
    command_id: Annotated[
        str | None, typer.Option("--id", help="Your id of the command; what was done under it is not done again.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="The running gateway; else http://127.0.0.1:GATEWAY_PORT.")] = None,
    as_json: AsJson = False,
) -> None:
    """Act on a live call: mute, say, transfer, hang up and more. Exit 0 done, 1 refused, 2 a mistake or no gateway."""
    from gateway.operator.command import list_live
    from gateway.operator.command import operate as run

    if listing:
        raise typer.Exit(list_live(url, as_json=as_json))
    if call_id is None or action is None:
        raise typer.BadParameter("give a call's id and an action, or --list")
    raise typer.Exit(run(call_id, action, fields or [], command_id=command_id, url=url, as_json=as_json))


@calls_app.callback()
def calls(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest calls."""
    if context.invoked_subcommand is None:
        from gateway.show import list_calls

        raise typer.Exit(list_calls(limit, as_json=as_json))


@calls_app.command("show")
def show_call(
    call_id: Annotated[str, typer.Argument(help="Id, or its beginning.")],
    picture: Annotated[Path | None, typer.Option(help="Also draw the recorded call as SVG into this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell one call as a timeline."""
    from gateway.show import show_call as run

    raise typer.Exit(run(call_id, picture, as_json=as_json))


@deliveries_app.command("list")
def list_deliveries(
    state: Annotated[str | None, typer.Option(help="waiting, delivered or dead.")] = None,
    call_id: Annotated[str | None, typer.Option("--call", help="Of this call only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest deliveries, without what they hold."""
    from gateway.deliveries.command import list_deliveries as run

    raise typer.Exit(run(state, call_id, limit, as_json=as_json))


@deliveries_app.command("show")
def show_delivery(delivery_id: Annotated[str, typer.Argument(help="Its id.")], as_json: AsJson = False) -> None:
    """Show one delivery and what it holds: words of callers, so mind who looks."""
    from gateway.deliveries.command import show_delivery as run

    raise typer.Exit(run(delivery_id, as_json=as_json))


@deliveries_app.command("replay")
def replay_delivery(delivery_id: Annotated[str, typer.Argument(help="Its id.")], as_json: AsJson = False) -> None:
    """Send one again that was delivered or given up. Exit 1 when it waits already."""
    from gateway.deliveries.command import replay_delivery as run

    raise typer.Exit(run(delivery_id, as_json=as_json))


@app.command()
def v2v(recording: Path, as_json: AsJson = False) -> None:
    """Measure voice-to-voice latency, barge-ins and dead air from a two-channel recording."""
    from gateway.show import voice_to_voice

    raise typer.Exit(voice_to_voice(recording, as_json=as_json))


@app.command()
def check(
    network: Annotated[bool, typer.Option(help="Also reach the model, the carrier and the webhooks.")] = True,
    as_json: AsJson = False,
) -> None:
    """Test the whole set-up and say what to do about each failure."""
    from gateway.show import check as run

    raise typer.Exit(run(network=network, as_json=as_json))


@app.command()
def key(
    name: Annotated[str, typer.Argument(help="Who will use it; stands in the journal as who asked.")],
    stdin: Annotated[bool, typer.Option("--stdin", help="Hash the key that standard input gives; make none.")] = False,
) -> None:
    """Make an API key: it is shown once, the gateway is given its hash (GATEWAY_API_KEYS)."""
    from gateway.operator.command import make_key

    raise typer.Exit(make_key(name, stdin=stdin))


@app.command()
def migrate() -> None:
    """Bring the database up to date."""
    from gateway.serve import migrate as run

    run()


@agents_app.command("schema")
def agents_schema() -> None:
    """Print the JSON Schema of the agents file, for editors."""
    import json

    from gateway.agents import schema

    typer.echo(json.dumps(schema(), indent=2))


@tools_app.command("list")
def list_tools(
    agent: Annotated[str, typer.Option(help="Whose.")],
    servers: Annotated[bool, typer.Option(help="Also start its MCP servers and ask them.")] = True,
    as_json: AsJson = False,
) -> None:
    """Print what an agent's model is offered, whatever it comes from."""
    from gateway.tools.command import list_tools as run

    raise typer.Exit(run(agent, start_servers=servers, as_json=as_json))


@tools_app.command("import")
def import_tools(
    document: Annotated[Path, typer.Argument(help="OpenAPI 3.0 or 3.1, JSON or YAML.")],
    tag: Annotated[list[str] | None, typer.Option(help="Only operations with this tag; may be given again.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the functions that an OpenAPI document gives, and what it does not give and why."""
    from gateway.tools.command import import_document

    raise typer.Exit(import_document(document, tag or (), as_json=as_json))


@tools_app.command("ledger")
def tools_ledger(
    state: Annotated[str | None, typer.Option(help="unknown, pending, intended, failed or done.")] = None,
    call_id: Annotated[str | None, typer.Option("--call", help="Of this call only: its id, or its beginning.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List what became of functions that change something, newest first, without what they were given."""
    from gateway.log import redact
    from gateway.tools.ledger_command import list_ledger

    raise typer.Exit(list_ledger(state, call_id, limit, redact, as_json=as_json))


@simulate_app.command("model")
def simulate_model(
    engine: Annotated[str, typer.Option(help="scripted or local")] = "scripted",
    scenario: Annotated[Path | None, typer.Option(help="What the scripted engine says (YAML).")] = None,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8765,
    as_json: AsJson = False,
) -> None:
    """Serve the Realtime API without a key: any client of that API can talk to it."""
    from gateway.simulator.command import serve_model

    serve_model(engine, scenario, host, port, as_json=as_json)


@simulate_app.command("call")
def simulate_call(
    voice_url: Annotated[
        str | None,
        typer.Option(help="Where the gateway really listens; else http://127.0.0.1:GATEWAY_PORT/twilio/voice."),
    ] = None,
    script: Annotated[Path | None, typer.Option(help="What the caller does (YAML).")] = None,
    clips: Annotated[Path | None, typer.Option(help="Folder of the caller's .ulaw clips.")] = None,
    to: Annotated[str, typer.Option(help="The dialled number.")] = "+14155550199",
    out: Annotated[Path | None, typer.Option(help="Write what both sides heard to this WAV.")] = None,
    as_json: AsJson = False,
) -> None:
    """Call a gateway as Twilio would: signed webhooks, TwiML, media."""
    from gateway.simulator.command import place_call

    raise typer.Exit(place_call(voice_url, script, clips, to, out, as_json=as_json))


@simulate_app.command("carrier")
def simulate_carrier(
    name: Annotated[
        str,
        typer.Argument(
            help="twilio, telnyx, signalwire, plivo, vonage, jambonz, genesys, asterisk, audiosocket or openai-sip."
        ),
    ],
    url: Annotated[
        str | None, typer.Option(help="Where the gateway really listens; else http://127.0.0.1:GATEWAY_PORT.")
    ] = None,
    script: Annotated[Path | None, typer.Option(help="What the caller does (YAML).")] = None,
    clips: Annotated[Path | None, typer.Option(help="Folder of the caller's .ulaw clips.")] = None,
    to: Annotated[str, typer.Option(help="The dialled number.")] = "+14155550199",
    from_: Annotated[str, typer.Option("--from", help="The caller's number.")] = "+14155550123",
    agent: Annotated[str, typer.Option(help="The agent's name, where the carrier can say it.")] = "",
    rest_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Serve the carrier's REST API there; else as the gateway's settings say."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write what both sides heard to this WAV.")] = None,
    as_json: AsJson = False,
) -> None:
    """Call a gateway as a carrier would, signed with the secrets of its settings: no account is needed."""
    from gateway.simulator.carriers.command import Wish, call_as

    wish = Wish(
        url=url,
        script=script,
        clips=clips,
        to=to,
        from_=from_,
        agent=agent,
        rest_port=rest_port,
        out=out,
        as_json=as_json,
    )
    raise typer.Exit(call_as(name, wish))


@simulate_app.command("turns")
def simulate_turns(
    barge_ins: Annotated[int, typer.Option(min=8, max=100_000, help="Barge-ins; the rest grows with it.")] = 500,
    seed: Annotated[int, typer.Option(min=0, max=1_000_000, help="Equal seeds give equal runs.")] = 1,
    only: Annotated[list[str] | None, typer.Option(help="One part; may be given again.")] = None,
    ttfb_ms: Annotated[float, typer.Option(min=0, max=10_000, help="Median time of the model to its audio.")] = 500.0,
    as_json: AsJson = False,
) -> None:
    """Prove what the caller heard: barge-ins, goodbyes and order, on a virtual clock. Exit 0 when all bounds hold."""
    from gateway.simulator.turns import Plan, run_turns

    raise typer.Exit(run_turns(Plan(barge_ins, seed, ttfb_ms), only or (), as_json=as_json))


@simulate_app.command("business")
def simulate_business(
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8092,
    database: Annotated[Path, typer.Option(help="SQLite file of its orders and appointments.")] = Path("shop.db"),
    gateway: Annotated[
        str | None, typer.Option(help="Where results that were promised are sent; else http://127.0.0.1:GATEWAY_PORT.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a sample business with orders and appointments, and print the agents file that goes with it."""
    from gateway.business.command import serve_shop

    serve_shop(port, database, gateway, as_json=as_json)


@simulate_app.command("claims")
def simulate_claims(
    misses: Annotated[
        bool, typer.Option("--misses", help="Also print the sentences that were judged wrongly.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure how well false claims of an agent ("I have booked it") are heard, on labelled sentences."""
    from gateway.simulator.claims import run_claims

    raise typer.Exit(run_claims(misses=misses, as_json=as_json))


@simulate_app.command("tools")
def simulate_tools(
    calls: Annotated[int, typer.Option(min=1, max=100_000, help="Calls to make.")] = 1000,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal calls.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Prove that writes are done once: a thousand calls with trouble in mid-write, on a virtual clock."""
    from gateway.simulator.tools.command import run_tools

    raise typer.Exit(run_tools(calls, seed, as_json=as_json))


@simulate_app.command("load")
def simulate_load(
    calls: Annotated[int, typer.Option(min=1, max=2000, help="Calls at once.")] = 100,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="Length of each call.")] = 20.0,
    fault: Annotated[str, typer.Option(help="none, drain (SIGTERM in the middle) or kill-model (kill -9).")] = "none",
    as_json: AsJson = False,
) -> None:
    """Run many calls at once against a gateway process of its own and a scripted model of its own."""
    from gateway.simulator.load import run_load

    raise typer.Exit(run_load(calls, seconds, fault, as_json=as_json))

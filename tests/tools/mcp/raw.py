"""A server written by hand, on the standard library alone: starts at once, speaks the older protocol, and misbehaves.

python raw.py MISBEHAVIOUR [PID-FILE]
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

HOW = sys.argv[1]
TOOL: dict[str, Any] = {
    "name": "go",
    "description": "Go.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": ["string", "null"]}}},
}


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(request: dict[str, Any]) -> None:
    number, method = request["id"], request["method"]
    if method == "initialize":
        info = {"name": "raw", "version": "1"}
        send(
            {
                "id": number,
                "result": {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {"tools": {"listChanged": True}},
                    "serverInfo": info,
                },
            }
        )
    elif method == "tools/list":
        listed(number)
    elif method == "tools/call":
        called(number, request["params"])
    else:
        send({"id": number, "error": {"code": -32601, "message": "method not found"}})


def listed(number: int) -> None:
    match HOW:
        case "endless list":
            send({"id": number, "result": {"tools": [TOOL], "nextCursor": "more"}})
        case "bad list":
            send({"id": number, "result": {"tools": [{"name": 7}]}})
        case "silent":
            pass
        case "refuses":
            send({"id": number, "error": {"code": -32603, "message": "no database\nTraceback"}})
        case _:
            send({"id": number, "result": {"tools": [TOOL]}})


def called(number: int, params: dict[str, Any]) -> None:
    result: dict[str, Any] = {"content": [{"type": "text", "text": json.dumps(params["arguments"])}]}
    match HOW:
        case "error":
            send({"id": number, "error": {"code": -32603, "message": "broken"}})
            return
        case "bad arguments":
            send({"id": number, "error": {"code": -32602, "message": "day is in the past"}})
            return
        case "mute" if params["arguments"].get("text") != "answer":
            return
        case "nonsense":
            result = {"content": "x"}
        case "chatty":
            sys.stdout.write("log line on the wrong stream\n{]\n\n" + "[" * 100_000 + "\n")
            sys.stderr.write("x" * 100_000 + "\n" * 10_000)
            sys.stderr.flush()
        case "notifies":
            send({"method": "notifications/tools/list_changed"})
        case "endless line":
            for _ in range(80):
                sys.stdout.write("x" * 1024 * 1024)
        case "deep":
            sys.stdout.write(f'{{"jsonrpc":"2.0","id":{number},"result":{"[" * 5000}{"]" * 5000}}}\n')
            sys.stdout.flush()
            return
    send({"id": number, "result": result})


def main() -> None:
    if len(sys.argv) > 2:
        child = subprocess.Popen(["/bin/sleep", "3600"], stdin=subprocess.DEVNULL)
        Path(sys.argv[2]).write_text(f"{os.getpid()} {child.pid}")
    if HOW == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if HOW == "exits":
        sys.exit(3)
    for line in sys.stdin:
        request = json.loads(line)
        if HOW == "older" and request["method"] == "server/discover":
            sys.exit(1)
        if "id" in request:
            answer(request)
    if HOW == "stubborn":
        signal.pause()


main()

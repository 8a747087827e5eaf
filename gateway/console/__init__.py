"""The console: a page from which a person calls an agent, watches the call, and acts in it. See README.md."""

from gateway.console.mount import mount_console

__all__ = ["mount_console"]

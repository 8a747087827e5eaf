"""Functions of MCP servers, called by the gateway itself, so that policy, limits and record hold as for any other.

Importing this needs no `mcp` package; `McpServers` asks for it when there is a server to start.
"""

from gateway.tools.mcp.invoker import McpInvoker
from gateway.tools.mcp.listing import McpTarget
from gateway.tools.mcp.servers import McpServers

__all__ = ["McpInvoker", "McpServers", "McpTarget"]

"""`gateway serve` and `gateway migrate`."""

import asyncio
import gc
import logging

from gateway.agents import load_agents
from gateway.app import create_app
from gateway.config import load_settings
from gateway.errors import ConfigError
from gateway.log import configure
from gateway.server import server
from gateway.tools.webhook import secret_problems

__all__ = ["migrate", "serve"]

logger = logging.getLogger(__name__)


def serve(host: str | None, port: int | None) -> None:
    """Serve until told to stop. Raises `ConfigError` before listening when calls could not be answered."""
    settings = load_settings()
    agents = load_agents(settings.agents_file)
    problems = [*settings.serving_problems(), *secret_problems(agents, settings.webhook_secret)]
    if problems:
        raise ConfigError("\n".join(problems))
    configure(settings.log_level, secrets=settings.secret_values())
    app = create_app(settings, agents)
    gateway = app.state.gateway
    listening = server(app, gateway, host=host or settings.host, port=port or settings.port)
    # What is loaded now lives as long as the process: the collector need not look at it again during calls.
    gc.collect()
    gc.freeze()
    logger.info("serving %s agents on %s:%s", len(agents.agents), host or settings.host, port or settings.port)
    listening.run()


def migrate() -> None:
    """Bring the configured database up to date. Raises `ConfigError`."""
    from gateway.store.migrate import upgrade

    asyncio.run(upgrade(load_settings().database_url))

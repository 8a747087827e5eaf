"""What must be there before calls are answered, beside the settings: secrets that can be read, and that sign."""

from collections.abc import Iterator

from pydantic import SecretStr

from gateway.agents import AgentsFile, resolve_secret
from gateway.agents.references import Reference, references
from gateway.errors import ConfigError
from gateway.tools.signing import signing_keys

__all__ = ["missing_secrets", "secret_found"]


def missing_secrets(agents: AgentsFile, default: SecretStr | None) -> Iterator[str]:
    """Yield one sentence for each secret that cannot be used; callers would find out otherwise."""
    for agent in agents.agents.values():
        for reference in references(agent):
            try:
                secret_found(reference, default)
            except ConfigError as error:
                yield f"{reference.place}: {error}"


def secret_found(reference: Reference, default: SecretStr | None) -> int:
    """Return how many keys are in a secret, read now. Raises `ConfigError`, with a sentence that holds none of it.

    `default` signs where no secret is named (GATEWAY_WEBHOOK_SECRET).
    """
    secret = resolve_secret(reference.ref) if reference.ref is not None else default
    if secret is None:
        raise ConfigError("no signing secret; name one by `secret`, or set GATEWAY_WEBHOOK_SECRET")
    if reference.signs:
        return len(signing_keys(secret))
    if reference.is_login and ":" not in secret.get_secret_value():
        raise ConfigError("is for kind: basic, and should hold user:password")
    return 1

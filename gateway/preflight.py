"""What must be there before calls are answered, beside the settings: secrets that can be read, and that sign."""

from collections.abc import Iterator

from pydantic import SecretStr

from gateway.agents import AgentsFile, resolve_secret
from gateway.agents.references import Reference, references
from gateway.errors import ConfigError
from gateway.tools.signing import signing_keys

__all__ = ["missing_secrets", "secret_found", "secret_texts", "unsigned"]


def missing_secrets(agents: AgentsFile, default: SecretStr | None) -> Iterator[str]:
    """Yield one sentence for each secret that cannot be used; callers would find out otherwise."""
    for agent in agents.agents.values():
        for reference in references(agent):
            if unsigned(reference, default):
                continue
            try:
                secret_found(reference, default)
            except ConfigError as error:
                yield f"{reference.place}: {error}"


def unsigned(reference: Reference, default: SecretStr | None) -> bool:
    """Tell whether requests go out without our signature, rightly so: their `auth` shows who calls."""
    return reference.may_lack and default is None


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


def secret_texts(agents: AgentsFile) -> Iterator[str]:
    """Yield the secrets that the file names and each part of them, in clear, so that the log can remove them.

    As they are now: one that is rotated later is known by its shape only.
    """
    for agent in agents.agents.values():
        for reference in references(agent):
            if reference.ref is None:
                continue
            try:
                text = resolve_secret(reference.ref).get_secret_value()
            except ConfigError:
                continue  # said by `missing_secrets`
            yield from {text, *text.split()}
            if reference.is_login:
                yield text.partition(":")[2]

"""Every exception of the gateway.

    GatewayError
    ├── ConfigError            settings or the agents file; the message is a sentence for the operator
    ├── ProtocolError
    │   ├── LocalProtocolError   we did what the protocol does not allow: our bug
    │   └── RemoteProtocolError  the peer did
    ├── CarrierError           the telephone network refused or failed
    ├── ModelError             the realtime model refused or failed
    ├── ToolError              a business webhook refused or failed
    ├── SignatureRefused       what came in is not signed by a key of ours (`gateway.tools.signing`)
    ├── SendError              a request did not leave, its answer was lost or too long (`gateway.tools.sender`)
    ├── PolicyError            this call must not be placed
    ├── StoreError             the database cannot do what was asked now (`gateway.store`)
    ├── RecordingError         a recording cannot be read (`gateway.records.speech`)
    ├── PaceFull               too many calls wait to be placed (`gateway.outbound.pace`)
    ├── VaultFull              no more digits can be kept now (`gateway.vault`)
    ├── DialConflict           one idempotency key, two different calls (`gateway.outbound.dialler`)
    └── Draining, Full, TokenRefused   a call is not admitted (`gateway.carriers.base`)

`permanent` tells whether trying again can help: one bit decides every retry.
Messages are lower case, say what was expected and what came, and hold no secret and no phone number.
"""

__all__ = [
    "CarrierError",
    "ConfigError",
    "GatewayError",
    "LocalProtocolError",
    "ModelError",
    "PolicyError",
    "ProtocolError",
    "RemoteProtocolError",
    "ToolError",
]


class GatewayError(Exception):
    """Base of all; never raised itself."""


class ConfigError(GatewayError):
    """The configuration cannot be used; the message tells the operator what to change and where."""


class ProtocolError(GatewayError):
    """A message broke its protocol."""


class LocalProtocolError(ProtocolError):
    """We tried what the protocol does not allow."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what the protocol does not allow."""


class VendorError(GatewayError):
    """Something outside refused or failed."""

    def __init__(self, message: str, *, permanent: bool = False, code: str = "") -> None:
        super().__init__(message)
        self.permanent = permanent
        self.code = code


class CarrierError(VendorError):
    """The telephone network refused or failed; `code` is the vendor's."""


class ModelError(VendorError):
    """The realtime model refused or failed; `code` is the API's error code or close code."""


class ToolError(VendorError):
    """A business webhook refused or failed; the message may be told to the model."""


class PolicyError(GatewayError):
    """A call must not be placed; `rule` names the rule in one word."""

    def __init__(self, message: str, *, rule: str) -> None:
        super().__init__(message)
        self.rule = rule

"""What a load run does, decided before it starts."""

from dataclasses import dataclass

from gateway.errors import ConfigError

__all__ = ["ACCOUNT", "AGENTS", "CALLED", "FAULTS", "PUBLIC_URL", "SCENARIO", "LoadPlan"]

FAULTS = ("none", "drain", "kill-model")
ACCOUNT = "AC" + "5" * 32
CALLED = "+14155550199"
PUBLIC_URL = "https://load.example.com"
TURN_S = 5.0
LEAST_TURN_S = 4.5
SPEECH_S = 1.0
"""The answer then begins some 0.6 s after the caller's last word and is over before the next turn begins."""
CALLS_PER_S = 10
"""So fast do new calls come in: some twenty times the rate at which 100 calls of a few minutes each would."""

AGENTS = f"""
agents:
  load:
    numbers: ["{CALLED}"]
    instructions: You help customers of Acme.
    greeting: Hello, this is Acme.
    fallback: {{say: Sorry. Please call later.}}
"""
SCENARIO = """
repeat: true
turns:
  - {heard: first question, say: "The first answer is one."}
  - {heard: second question, say: "The second answer is two."}
  - {heard: third question, say: "The third answer is three."}
server: {max_sessions: 10000, history: 10000}
"""


@dataclass(slots=True, frozen=True)
class LoadPlan:
    """One run. Raises `ConfigError` for a fault that is not known."""

    calls: int
    seconds: float
    """How long each caller talks and listens after the greeting; at least one turn."""
    fault: str = "none"

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ConfigError(f"--fault must be one of {', '.join(FAULTS)}, not {self.fault[:40]!r}")

    @property
    def turns(self) -> int:
        return max(1, int(self.seconds / TURN_S))

    @property
    def turn_s(self) -> float:
        return max(LEAST_TURN_S, round(self.seconds / self.turns * 50) / 50)

    @property
    def speech_s(self) -> float:
        return SPEECH_S

    @property
    def frames(self) -> int:
        """Numbered frames of one caller."""
        return self.turns * round(self.turn_s * 50)

    @property
    def ramp_s(self) -> float:
        """From the first call's begin to the last one's; short enough that all of them are up at once."""
        return min(self.calls / CALLS_PER_S, self.turns * self.turn_s / 2)

"""What `gateway demo` was asked for, and where it puts things."""

from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ConfigError

__all__ = ["DemoOptions", "Folder"]


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The command's options."""

    fast: bool = False
    """Leave out the pauses that only a listener needs."""
    live: bool = False
    """Talk to the real model."""
    out: Path = Path("demo-output")
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a demo. A second run adds its call to the database and replaces the rest."""

    path: Path

    def __post_init__(self) -> None:
        """Make the folder. Raises `ConfigError`."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.log.touch(mode=0o600)
        except OSError as error:
            raise ConfigError(f"the folder {self.path} cannot be written: {error.strerror}") from None

    @property
    def agents(self) -> Path:
        return self.path / "agents.yaml"

    @property
    def database(self) -> Path:
        return self.path / "gateway.db"

    @property
    def shop(self) -> Path:
        """The database of the sample business; each run begins with a new one."""
        return self.path / "shop.db"

    @property
    def recordings(self) -> Path:
        return self.path / "recordings"

    @property
    def recording(self) -> Path:
        """Copy of the call's recording under a name that is easy to find."""
        return self.path / "call.wav"

    @property
    def picture(self) -> Path:
        return self.path / "call.svg"

    @property
    def log(self) -> Path:
        return self.path / "demo.log"

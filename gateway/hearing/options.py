"""What can be set about an ear, with the reason of each default."""

from dataclasses import dataclass

__all__ = ["EarOptions"]


@dataclass(slots=True, frozen=True)
class EarOptions:
    """Levels are RMS of 20 ms in dB of full scale; a telephone voice lies around -20, line noise below -50."""

    start_ms: int = 60
    """Loud and voiced sound it takes to prove a voice; shorter is a click, a cough, a knock."""
    start_within_ms: int = 120
    """In how much time these must come: a syllable may begin unvoiced and dip."""
    hang_ms: int = 160
    """Silence it takes to end a voice: longer than the closure of a plosive."""
    unvoiced_ms: int = 200
    """Loud sound without pitch keeps a voice alive so long (fricatives), noise for no longer."""
    margin_db: float = 5.0
    """How far above the noise a voice must be to begin."""
    leave_db: float = 2.0
    """How much less than that is enough to go on."""
    spread: float = 2.9
    """In a noise that fluctuates, the margin is at least so many of its mean deviations (babble, music)."""
    least_db: float = -48.0
    """Softer sound is never a voice: the far side of a room, another line's crosstalk."""
    floor_most_db: float = -26.0
    """The noise is never believed to be louder than this, so that a loud voice always comes through."""
    voicing: float = 0.6
    """Least correlation with the sound a pitch period earlier; noise reached 0.4, speech mostly exceeds 0.8."""
    echo_window_ms: int = 400
    """How late our own sound may come back."""
    echo_most_db: float = -12.0
    """The strongest echo that is believed in, relative to what we sent; also what is assumed before it is known."""
    echo_least_db: float = -32.0
    """The weakest echo that is guarded against."""
    echo_margin_db: float = 4.0
    """How far above the expected echo a voice must be."""

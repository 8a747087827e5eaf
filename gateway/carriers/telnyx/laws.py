"""From one law of G.711 to the other, a look-up per sample (ITU-T G.711 §3). Pure.

Needed only where Telnyx could not transcode its caller's A-law and takes mu-law from us all the same, or the other way.
"""

import warnings

from gateway.core.audio import AudioFormat

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["relabel"]

BYTES = 2
EVERY = bytes(range(256))
TO_MU: bytes = audioop.lin2ulaw(audioop.alaw2lin(EVERY, BYTES), BYTES)
TO_A: bytes = audioop.lin2alaw(audioop.ulaw2lin(EVERY, BYTES), BYTES)


def relabel(audio: bytes, is_in: AudioFormat, wanted: AudioFormat) -> bytes:
    """Return G.711 of one law in the other; what is in the wanted one already is returned as it is."""
    if is_in is wanted:
        return audio
    return audio.translate(TO_MU if wanted is AudioFormat.PCMU else TO_A)

"""Where a reference has speech, as visqol-python finds it, a frame at a time.

The library walks through the samples one by one in Python, which is a fifth of the time that scoring an utterance
takes. The rest of it, and what counts as speech, is the library's.
"""

import numpy as np
from visqol.audio_utils import AudioSignal
from visqol.patch_creator import RmsVad, VadPatchCreator

__all__ = ["ActivePatches"]

_FULL_SCALE = 1 << 15


class ActivePatches(VadPatchCreator):
    """The patches of a reference in which somebody speaks."""

    def _get_voice_activity(
        self, signal: AudioSignal, start_sample: int, total_samples: int, frame_len: int
    ) -> list[float]:
        """Return 1 or 0 for each frame of ``frame_len`` samples; an incomplete one at the end is left out."""
        samples = signal.data[start_sample : start_sample + total_samples]
        whole = np.clip(samples * _FULL_SCALE, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
        activity = RmsVad()
        for frame in whole[: len(whole) // frame_len * frame_len].reshape(-1, frame_len):
            activity.process_chunk(frame)
        found: list[float] = activity.get_vad_results()
        return found

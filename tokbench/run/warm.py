"""Imported once by the process that workers are forked from, so that each starts in milliseconds.

Only imports: whatever starts a thread or opens a file here would be shared by every worker.
"""

import tokbench.audio
import tokbench.codecs.base
import tokbench.run.worker
import tokbench.runners.reconstruction
import tokbench.runners.tokens
import tokbench.store  # noqa: F401  (all of these are for their side effect)

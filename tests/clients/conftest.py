"""The tests of `heavy` run in an environment of their own (`make test-clients`).

Where its packages are not installed, they are not collected.
"""

from __future__ import annotations

import importlib.util

collect_ignore = [] if importlib.util.find_spec("litellm") else ["heavy"]

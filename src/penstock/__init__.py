"""Penstock serves large language models and keeps their latency targets at the least GPU cost.

The same decision code runs in three worlds: a virtual cluster, one machine, Kubernetes. Decisions are pure
functions of what was seen; worlds only observe, wait and act. `docs/concepts/` tells the whole story.
"""

__version__ = "0.1.0"

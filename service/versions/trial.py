"""Does a bundle load and inspect at all? Tried in a process of its own, as the agent of a tool tries it."""

from tool_side.agent.trial import SECONDS, try_bundle

__all__ = ["SECONDS", "try_bundle"]

"""Which version is meant for which tool. Tools ask: none of them can be reached from outside."""

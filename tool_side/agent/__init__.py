"""The agent of a tool: fetches the bundle meant for it, checks it, switches to it or goes on with the old one."""

"""Who may do what: keys of tools, passwords, sessions and roles of people."""

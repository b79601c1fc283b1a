"""From what the models saw to what the tool is told: the policy's decision, the site's rules, the figures."""

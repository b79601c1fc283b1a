"""The inspection service: answers the line, shows doubtful images to people, keeps every decision."""

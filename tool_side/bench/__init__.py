"""`waferroute bench`: how fast a bundle is on this computer, and how to set it up there. Runs on the tool."""

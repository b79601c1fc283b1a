"""What a worker of the service takes in to watch over versions (`service.settings.Settings.modules`)."""

SERVICE_MODULES = (
    "lifecycle.conductor.shadow",
    "lifecycle.conductor.canary",
    "lifecycle.conductor.drift",
    "lifecycle.pages.drift",
    "lifecycle.pages.shadow",
)

"""Which commands there are, in the order of the help. A new command is one module of this package and one line here."""

COMMANDS = (
    # from images to a bundle
    "run",
    "data",
    "pretrain",
    "adapt",
    "distill",
    "calibrate",
    "export",
    "evaluate",
    # what the data and a finished run say
    "explore",
    "errors",
    "novelty",
    "report",
    "compare",
    "msa",
    "certificate",
    # on the inspection tool
    "inspect",
    "verify",
    "keys",
    "sign",
    "bench",
    "recipe",
    "classes",
    "klarf",
    "wafer",
    "lot",
    # archives of stored images
    "pack",
    "score",
    "nearest",
    # the service
    "serve",
    "service",
    "feedback",
    # the life of a model
    "model",
    "retrain",
    "fleet",
    "rehearse",
    "agent",
    # configuration and data
    "config",
    "micrographs",
)

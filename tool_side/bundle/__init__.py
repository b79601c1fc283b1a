"""The bundle: one folder with graphs, policy, certificate and manifest; read, signed and verified."""

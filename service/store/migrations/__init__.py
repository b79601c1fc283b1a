"""Migrations of the database, run by `service.store.migrate`."""

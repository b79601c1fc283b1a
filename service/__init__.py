"""The inspection service.

A tool posts an image, gets a decision that is on disk before the answer leaves; people look at the doubtful
ones. Needs `pip install "waferroute[serve]"`, and no torch.

`store` keeps (journal of the node, database, image files, audit trail), `decide` decides, `auth` says who
may, `api` answers tools and programs, `review` and `monitor` show pages to people. `app.create_app` puts them
together.
"""

"""What is kept: the node's own journal, the database, the image files, the audit trail."""

"""Pages for people: the review of doubtful images by keyboard, wafers and lots, and how far people agree."""

"""One file per page; the table is `demos.PAGES`."""

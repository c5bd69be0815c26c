"""Objects to files of other programs: a module for each format, and a table of them."""

"""The command line: `main` has the table of verbs, each other file is one verb."""

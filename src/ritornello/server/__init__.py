"""What answers over HTTP on this machine: the listening test's pages and its votes."""

"""What stands between the network and the pages: hosts, headers, permissions, sessions, served files."""

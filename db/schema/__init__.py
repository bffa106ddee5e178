"""Tables, and how a database is found, opened, protected and brought up to date."""

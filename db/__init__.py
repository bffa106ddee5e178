"""Labels and their history in a real database. Imports only the engine's types, errors and JSON."""

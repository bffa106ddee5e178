"""How the bundled judge is made from nothing, and the rooms and furniture that it learns from."""

"""What people chose and the app keeps in the data folder or the database."""

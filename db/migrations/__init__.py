"""How the schema came to be; run by `db.schema.session`."""

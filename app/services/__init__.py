"""What Gatehouse does: one noun a file, functions are verbs, transactions live here."""

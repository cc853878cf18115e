"""Mail: what is written, and the ways out for it."""

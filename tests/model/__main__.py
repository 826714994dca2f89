"""`python -m tests.model`: search one scope and tell what was seen."""

"""The HTTP face of a validator: what anyone may ask, and how it says no."""

"""Which slices of a result to check, and how corrections become examples."""

"""The parts of the dock's form."""

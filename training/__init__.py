"""Recipe of the bundled starter models; not part of the wheel."""

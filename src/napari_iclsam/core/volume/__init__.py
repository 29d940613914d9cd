"""What neighbouring planes of a volume know of each other: arrays in, arrays out."""

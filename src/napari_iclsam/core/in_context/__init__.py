"""The in-context model: coarse to fine, localisation, test-time fine-tuning."""

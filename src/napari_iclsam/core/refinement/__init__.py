"""Refinement by the promptable model: linear probe, prompts, guided mask decoder."""

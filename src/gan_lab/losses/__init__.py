"""Adversarial losses: pure functions of logits, and the frozen objects that configs name."""

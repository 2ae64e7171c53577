"""Speed of a run, beside a bare PyTorch loop over the same step."""

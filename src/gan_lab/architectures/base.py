"""What every discriminator has, so that parts can be put around any of them."""

from torch import Tensor, nn


class Discriminator(nn.Module):
    """A network that judges samples in two steps: `features`, the last hidden layer, and `head`, the logits from it.

    A subclass registers `output`, the linear layer to one logit, and defines `features`. Labels matter to those that are
    conditioned on them; the others ignore them.
    """

    output: nn.Linear

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, d) of samples (n, ...); labels int64 (n,) or None."""
        raise NotImplementedError

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n,) of features (n, d)."""
        logits: Tensor = self.output(features)  # (n, 1)
        return logits.squeeze(1)  # (n,)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n,) of samples (n, ...)."""
        return self.head(self.features(x, labels), labels)

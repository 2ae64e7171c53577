"""D2GAN's eight Gaussians in a bare PyTorch loop: a control of experiment=d2gan_ring without its code.

The defaults are those of the authors' code; each option is one guess of what could differ from it.

    python -m tests.references.d2gan_ring --seed 0 --out d2gan_ring.csv
"""

import argparse
import csv
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from tests.references import points as formulas

EVALUATIONS = 10
SAMPLES = 10_000


class TensorFlowAdam(torch.optim.Optimizer):
    """Adam as TensorFlow 1 has it: epsilon is added before the correction of the second moment, not after it."""

    def __init__(self, params: list[nn.Parameter], lr: float, betas: tuple[float, float], eps: float = 1e-8) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})
        self.steps = 0

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        self.steps += 1
        for group in self.param_groups:
            first, second = group["betas"]
            lr = group["lr"] * (1 - second**self.steps) ** 0.5 / (1 - first**self.steps)
            for weight in group["params"]:
                state = self.state[weight]
                mean = state.setdefault("mean", torch.zeros_like(weight))
                square = state.setdefault("square", torch.zeros_like(weight))
                mean.mul_(first).add_(weight.grad, alpha=1 - first)
                square.mul_(second).addcmul_(weight.grad, weight.grad, value=1 - second)
                weight.addcdiv_(mean, square.sqrt().add_(group["eps"]), value=-lr)


def network(sizes: list[int], init: str) -> nn.Sequential:
    """ReLU network; `init` is the standard deviation of the weights, or he, glorot or torch. Biases are 0."""
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers += [nn.ReLU()] if number else []
        linear = nn.Linear(inputs, outputs)
        layers.append(linear)
        if init == "torch":
            continue
        nn.init.zeros_(linear.bias)
        if init == "he":
            nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu")
        elif init == "glorot":
            nn.init.xavier_uniform_(linear.weight)
        else:
            nn.init.normal_(linear.weight, 0.0, float(init))
    return nn.Sequential(*layers)


def log_softplus(t: Tensor) -> Tensor:
    """log(softplus(t)), finite where softplus rounds to 0."""
    return torch.where(t < -15, t, softplus(t.clamp(min=-15)).log())


def losses(args: argparse.Namespace, first: nn.Module, second: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Loss of the discriminators; of the plain GAN, whose second discriminator is not used."""
    if args.objective == "gan":
        return softplus(-first(real)).mean() + softplus(first(fake)).mean()
    one = -log_softplus(first(real)).mean() + softplus(first(fake)).mean()
    two = softplus(second(real)).mean() - log_softplus(second(fake)).mean()
    return one + two


def generator_loss(args: argparse.Namespace, first: nn.Module, second: nn.Module, fake: Tensor) -> Tensor:
    if args.objective == "gan":
        return softplus(-first(fake)).mean()
    return -softplus(first(fake)).mean() + log_softplus(second(fake)).mean()


def evaluate(args: argparse.Namespace, generator: nn.Module, centers: np.ndarray) -> dict[str, float]:
    with torch.no_grad():
        points = generator(torch.randn(SAMPLES, 256)).double().numpy()
    random = np.random.default_rng(0)
    true = centers[random.integers(len(centers), size=1000)] + args.std * random.standard_normal((1000, 2))
    counts = formulas.counts_per_mode(points, centers, args.std)
    return {
        "modes": int((counts > 0).sum()),
        "modes_with_1_percent": int((counts > SAMPLES / 100).sum()),
        "high_quality": round(counts.sum() / SAMPLES, 4),
        "kl_symmetric": round(sum(formulas.divergences(points, centers, args.std)), 4),
        "wasserstein": round(formulas.wasserstein(points[:1000], true), 4),
    }


def run(args: argparse.Namespace) -> list[dict[str, float | str]]:
    torch.manual_seed(args.seed)
    centers = formulas.ring()
    table = torch.tensor(centers, dtype=torch.float32)
    generator = network([256, 128, 128, 2], args.init)
    first, second = (network([2] + [128] * args.depth + [1], args.init) for _ in range(2))
    trained = [*first.parameters(), *(second.parameters() if args.objective == "d2gan" else ())]
    adam = {"tensorflow": TensorFlowAdam, "torch": torch.optim.Adam}[args.adam]
    of_discriminators = adam(trained, lr=args.lr, betas=(0.5, 0.999))
    of_generator = adam(list(generator.parameters()), lr=args.lr, betas=(0.5, 0.999))
    rows: list[dict[str, float | str]] = []
    start = time.process_time()
    for step in range(1, args.steps + 1):
        if args.decay:
            for optimizer in (of_discriminators, of_generator):
                optimizer.param_groups[0]["lr"] = args.lr * (1 - (step - 1) / args.steps)
        real = table[torch.randint(len(table), (args.batch,))] + args.std * torch.randn(args.batch, 2)
        if args.order == "simultaneous":
            fake = generator(torch.randn(args.batch, 256))
            of_generator.zero_grad()
            generator_loss(args, first, second, fake).backward()
            fake = fake.detach()
            of_discriminators.zero_grad()
            losses(args, first, second, real, fake).backward()
            of_discriminators.step()
            of_generator.step()
        else:
            with torch.no_grad():
                latents = torch.randn(args.batch, 256)
                fake = generator(latents)
            of_discriminators.zero_grad()
            losses(args, first, second, real, fake).backward()
            of_discriminators.step()
            if args.order == "fresh":
                latents = torch.randn(args.batch, 256)
            of_generator.zero_grad()
            generator_loss(args, first, second, generator(latents)).backward()
            of_generator.step()
        if step % (args.steps // EVALUATIONS) == 0:
            seconds = round(time.process_time() - start, 1)
            rows.append({"step": step, **evaluate(args, generator, centers), "cpu_seconds": seconds})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objective", default="d2gan", choices=["d2gan", "gan"])
    parser.add_argument("--std", type=float, default=0.02**0.5, help="of each coordinate of the data")
    parser.add_argument("--init", default="0.01", help="standard deviation of the weights, or he, glorot, torch")
    parser.add_argument("--adam", default="tensorflow", choices=["tensorflow", "torch"])
    parser.add_argument("--order", default="fresh", choices=["fresh", "same", "simultaneous"], help="of updates")
    parser.add_argument("--depth", type=int, default=1, help="hidden layers of a discriminator")
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--decay", action="store_true", help="learning rate to zero")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--steps", type=int, default=25_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="CSV to which the rows are added")
    args = parser.parse_args()
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    settings["std"] = round(args.std, 4)
    rows = [settings | row for row in run(args)]
    fresh = not args.out.exists()
    with args.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        if fresh:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()

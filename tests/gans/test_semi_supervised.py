"""The semi-supervised GAN: closed forms of its loss, choice and order of the labeled samples, baseline, refusals."""

import math
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from gan_lab.architectures.classes import ClassHead
from gan_lab.architectures.mlp import MLPDiscriminator
from gan_lab.architectures.packing import Packing
from gan_lab.config.build import build
from gan_lab.data.image_data import ImageData
from gan_lab.data.mixture_data import MixtureData
from gan_lab.data.mixtures import ring
from gan_lab.errors import ConfigError, DataError
from gan_lab.gans.semi_supervised import LabeledSamples, SemiSupervised
from gan_lab.losses.adversarial import Minimax
from gan_lab.metrics.protocol import read_results
from gan_lab.noise import Noise
from gan_lab.regularizers.features import FeatureMatching
from gan_lab.step import DiscriminatorOutputs, Samples, Step
from gan_lab.training.fit import fit
from tests.gans.test_every_model import CHECKPOINTS
from tests.helpers.player_updates import make_parts
from tests.helpers.points_gan import Generator, Points, state

K = 4
RING = MixtureData(ring(K, 2.0, 0.1), batch_size=6)


def make(labeled: LabeledSamples | None = None, unlabeled_weight: float = 1.0, **settings) -> SemiSupervised:
    torch.manual_seed(0)
    discriminator = ClassHead(K)(MLPDiscriminator(2, None, 8, init_scale=2.0))
    settings.setdefault("penalties", {"feature_matching": FeatureMatching()})
    parts = make_parts(**settings)
    return SemiSupervised(Generator(), discriminator, parts, labeled or LabeledSamples(3), unlabeled_weight)


def train(gan: SemiSupervised, batches: int = 2, data: MixtureData = RING) -> SemiSupervised:
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", devices=1, max_steps=batches, enable_model_summary=False, **options)
    trainer.fit(gan, datamodule=data)
    return gan


def step(gan: SemiSupervised) -> tuple[Step, Tensor, Tensor]:
    """Real, generated and labeled points with their discriminator outputs; the labeled points and their labels."""
    points, labels = torch.randn(8, 2), torch.randint(K, (8,))
    samples = [Samples(torch.randn(5, 2)), Samples(torch.randn(6, 2)), Samples(points, labels)]
    real, fake, labeled = (DiscriminatorOutputs(gan.discriminator, lambda each=each: each) for each in samples)
    return Step(gan.discriminator, real, fake, Noise(0, 5), {"labeled": labeled}), points, labels


def with_generated_class(gan: SemiSupervised, points: Tensor) -> Tensor:
    """Log probabilities (n, K + 1) of a softmax whose last logit, of generated samples, is 0."""
    logits = gan.discriminator.auxiliary(gan.discriminator.features(points))
    return torch.cat([logits, torch.zeros(len(points), 1)], 1).log_softmax(1)


# Closed forms -------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_likelihood_of_a_softmax_over_k_classes_and_the_generated_samples() -> None:
    """Salimans et al. (2016), section 5: the paper's L_unsupervised with its factors of 1/2, and its L_supervised."""
    gan = make(unlabeled_weight=0.7)
    inputs, points, labels = step(gan)
    terms = gan.discriminator_loss(inputs)
    real = with_generated_class(gan, inputs.real.samples)[:, :K].logsumexp(1).mean()
    fake = with_generated_class(gan, inputs.fake.samples)[:, K].mean()
    torch.testing.assert_close(terms["adversarial"], -0.7 * (real + fake) / 2)
    classes = with_generated_class(gan, points)[:, :K]  # given that the sample is real
    likelihood = (classes - classes.logsumexp(1, keepdim=True))[torch.arange(8), labels].mean()
    torch.testing.assert_close(terms["classification"], -likelihood)
    assert terms.keys() == {"adversarial", "classification"}


def test_the_logit_is_the_log_sum_exp_of_the_class_logits() -> None:
    """D = Z / (Z + 1), so -log(1 - D) = softplus(log Z); a common shift changes D and no class."""
    network = make().discriminator.double()
    x = torch.randn(50, 2, dtype=torch.float64)
    features = network.features(x)
    z = network.auxiliary(features).exp().sum(1)
    d = torch.sigmoid(network.head(features))
    torch.testing.assert_close(d, z / (z + 1))
    torch.testing.assert_close(-torch.log(1 - d), torch.nn.functional.softplus(z.log()))
    classes = network.auxiliary(features).argmax(1)
    with torch.no_grad():
        network.network.output.bias += 3.0
    torch.testing.assert_close(network.head(features), z.log() + 3)
    assert torch.equal(network.auxiliary(features).argmax(1), classes)


def test_the_adversarial_loss_is_log_2_where_the_class_logits_sum_to_one() -> None:
    gan = make()
    with torch.no_grad():
        gan.discriminator.network.output.weight.zero_()
        gan.discriminator.network.output.bias.fill_(-math.log(K))
    terms = gan.discriminator_loss(step(gan)[0])
    assert terms["adversarial"].item() == pytest.approx(math.log(2))
    assert terms["classification"].item() == pytest.approx(math.log(K))


def test_feature_matching_of_equal_batches_is_0_and_the_generator_has_no_other_term() -> None:
    gan = make(adversarial_weight=0.0)
    inputs, _, _ = step(gan)
    assert FeatureMatching()(Step(gan.generator, inputs.real, inputs.real, inputs.noise)) == 0
    assert gan.generator_loss(inputs) == {}
    minimax = make(loss=Minimax(), penalties={})  # the generator of minibatch discrimination minimizes E log(1 - D)
    inputs, _, _ = step(minimax)
    expected = with_generated_class(minimax, inputs.fake.samples)[:, K].mean()
    torch.testing.assert_close(minimax.generator_loss(inputs)["adversarial"], expected)


def test_gradients_of_the_loss() -> None:
    """Against differences, in double precision, by the class logits."""
    gan = make().double()
    inputs, _, labels = step(gan)
    each = (inputs.real, inputs.fake, inputs.others["labeled"])
    logits = torch.randn(19, K, dtype=torch.float64).requires_grad_()

    def loss(logits: Tensor) -> Tensor:
        """The loss of 5 real, 6 generated and 8 labeled samples with these logits."""
        gan.discriminator.auxiliary = lambda features: features
        for outputs, rows in zip(each, logits.split([5, 6, 8]), strict=True):
            outputs.__dict__.update(features=rows, logits=gan.discriminator.head(rows), auxiliary=rows)
        return sum(gan.discriminator_loss(inputs).values())

    assert torch.autograd.gradcheck(loss, (logits,))
    (gradient,) = torch.autograd.grad(loss(logits), logits)
    torch.testing.assert_close(gradient[11:], (logits[11:].softmax(1) - torch.eye(K)[labels]) / 8)
    real = -(1 - torch.sigmoid(logits[:5].logsumexp(1))).unsqueeze(1) * logits[:5].softmax(1) / 2 / 5
    torch.testing.assert_close(gradient[:5], real)


# Labeled samples ----------------------------------------------------------------------------------------------------


def digits(seed: int = 0) -> ImageData:
    from gan_lab.data.digits import read_digits

    return ImageData("scikit-learn", read_digits, 8, 1, 10, batch_size=8, seed=seed, fit="stretch")


def test_the_choice_is_balanced_and_follows_its_own_seed() -> None:
    chosen = LabeledSamples(5, seed=1).of(digits(seed=0), 10)
    assert chosen.values.shape == (50, 1, 8, 8)
    assert torch.equal(chosen.condition.bincount(), torch.full((10,), 5))
    known = {tuple(image.flatten().tolist()): label for chunk, labels in digits().reals(None, 500)
             for image, label in zip(chunk, labels.tolist(), strict=True)}  # fmt: skip
    assert [known[tuple(image.flatten().tolist())] for image in chosen.values] == chosen.condition.tolist()
    assert torch.equal(LabeledSamples(5, seed=1).of(digits(seed=9), 10).values, chosen.values)
    assert not torch.equal(LabeledSamples(5, seed=2).of(digits(seed=0), 10).values, chosen.values)
    points = [LabeledSamples(3, seed).of(RING, K).values for seed in (0, 0, 1)]
    assert torch.equal(points[0], points[1]) and not torch.equal(points[0], points[2])


def test_too_few_samples_of_a_class_are_refused() -> None:
    with pytest.raises(DataError, match=r"^algorithm.labeled.per_class=500 is more than the \d+ samples of class 0 of"):
        LabeledSamples(500).of(digits(), 10)


def labels_of(gan: SemiSupervised, images_seen: int, size: int, rows: slice = slice(None)) -> Tensor:
    gan.images_seen = images_seen
    return gan.labeled_samples(Noise(0, size, rows)).values[:, 0]


def test_each_pass_is_a_new_permutation_that_processes_share() -> None:
    """12 labeled samples in batches of 8: every pass has each of them once; rows of two processes join to the batch."""
    gan = make()
    gan._samples = Samples(torch.arange(12.0).unsqueeze(1).expand(12, 2), torch.arange(12) % K)
    batches = [labels_of(gan, images_seen, 8) for images_seen in range(0, 48, 8)]
    passes = torch.cat(batches).view(4, 12)
    assert all(sorted(row.tolist()) == list(range(12)) for row in passes)
    assert not torch.equal(passes[0], passes[1])
    halves = [labels_of(gan, 8, 8, slice(rank, None, 2)) for rank in range(2)]
    assert torch.equal(torch.stack(halves, 1).flatten(), batches[1])
    assert torch.equal(labels_of(gan, 0, 30)[:24], passes[:2].flatten())  # a batch of several passes
    gan.seed = 1
    assert not torch.equal(labels_of(gan, 0, 12), passes[0])
    assert torch.equal(gan.labeled_samples(Noise(0, 6)).condition, labels_of(gan, 0, 6).long() % K)


# Training -----------------------------------------------------------------------------------------------------------


def test_the_discriminator_learns_from_the_labels_and_is_averaged() -> None:
    gan = make(lr=0.02)
    before = state(gan.averaged["discriminator"])
    train(gan, 200)
    x, labels = next(iter(RING.reals(400, 400)))
    for average in (True, False):
        assert (gan.classifier(average)(x).argmax(1) == labels).float().mean() > 0.95
    assert not gan.averaged["discriminator"].training
    assert not torch.equal(before["network.output.weight"], gan.averaged["discriminator"].network.output.weight)
    assert gan.records[-1]["accuracy/labeled"][0] > 0.9


def test_with_weight_0_only_the_labels_train() -> None:
    gan = make(unlabeled_weight=0.0)
    before = state(gan.generator)
    train(gan)
    assert torch.equal(before["output.weight"], gan.generator.output.weight)
    assert all(set(record) == {"discriminator/classification", "accuracy/labeled"} for record in gan.records)


def test_micro_batches_make_no_difference() -> None:
    one, two = (train(make(accumulate=count, penalties={}), 3) for count in (1, 2))
    for a, b in zip(one.discriminator.parameters(), two.discriminator.parameters(), strict=True):
        torch.testing.assert_close(a, b)


DIGITS = ("model=semi_supervised", "dataset.resolution=8", "budget.images=40", "metrics=[test_error]")
OWN_IMAGES = ("evaluation.metrics.test_error.data.reader.split=null",)


def test_a_run_reports_the_error_of_both_discriminators(tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gan_lab")
    experiment = fit(tiny(*DIGITS, *OWN_IMAGES, *CHECKPOINTS, "evaluation.best=eval/test_error", "evaluation.times=1"))
    found = read_results(tmp_path / "run/results.json")
    assert found.keys() == {"eval/test_error", "eval/raw/test_error"}
    images = [(chunk, labels) for chunk, labels in experiment.data.reals(None, 500)]
    for average, key in ((True, "eval/test_error"), (False, "eval/raw/test_error")):
        classify = experiment.module.classifier(average)
        wrong = sum(int((classify(chunk).argmax(1) != labels).sum()) for chunk, labels in images)
        assert found[key].value == wrong / 1797
        assert found[key].protocol.samples is None
        options = dict(found[key].protocol.options)
        assert options.pop("test_content") and options == {
            "test_images": 1797, "labels_per_class": 10, "label_seed": 0,
        }  # fmt: skip
    assert (tmp_path / "run/checkpoints/best.ckpt").is_file()
    assert "of 1,797 test images are misclassified by the network trained with 10 labels of each class" in caplog.text
    assert "labels are not used" not in caplog.text


# Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("algorithm.labeled.per_class=0",), r"algorithm.labeled.per_class=0 .*at least 1"),
        (("algorithm.unlabeled_weight=-1",), r"algorithm.unlabeled_weight=-1.* at least 0"),
        (("wrapper/discriminator=[]",), r"add class_head to wrapper/discriminator"),
        (("conditioning=concat",), r"no network may take any; set conditioning=none"),
        (("conditioning=codes",), r"no network may take any; set conditioning=none"),
        (("dataset.num_classes=null",), r"needs labels; give dataset.num_classes"),
        (("dataset.num_classes=1",), r"dataset.num_classes=1 leaves nothing to classify"),
        (("wrapper/discriminator=[packing,class_head]",), r"packing scores several samples at once"),
        (("architecture.discriminator.noise=-1",), r"architecture.discriminator.noise=-1.* at least 0"),
        (("architecture.discriminator.length=0",), r"architecture.discriminator.length=0"),
        (("metrics=[test_error]",), r"needs a data set with test images"),
    ],
)
def test_refusals(overrides: tuple[str, ...], sentence: str, tiny) -> None:
    with pytest.raises(ConfigError, match=sentence) as refusal:
        build(tiny("model=semi_supervised", "dataset.resolution=8", *overrides))
    assert str(refusal.value).count("\n") == 0


def test_the_metric_is_refused_without_a_classifier(tiny) -> None:
    """Before the first batch."""
    settings = (*DIGITS[1:], *OWN_IMAGES)
    with pytest.raises(ConfigError, match=r"^test_error measures a discriminator that classifies; set model=semi"):
        fit(tiny("model=dcgan", *settings))
    metric = build(tiny(*DIGITS, *OWN_IMAGES)).trainer.callbacks
    (evaluation,) = (each for each in metric if hasattr(each, "metrics"))
    with pytest.raises(ValueError, match="measured in training only"):
        evaluation.metrics["test_error"].update(torch.zeros(1, 1, 8, 8))


def test_a_plain_data_loader_is_refused() -> None:
    trainer = Trainer(accelerator="cpu", devices=1, max_steps=1, logger=False, enable_checkpointing=False)
    with pytest.raises(DataError, match="train it with a data module"):
        trainer.fit(make(), DataLoader(Points(8), batch_size=4))


def test_packs_have_no_class() -> None:
    with pytest.raises(ValueError, match="packing"):
        ClassHead(K)(Packing(2)(MLPDiscriminator(4, None)))

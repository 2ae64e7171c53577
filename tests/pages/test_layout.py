"""Layout of a run's report: every log key is in exactly one chart, together with related keys."""

from gan_lab.pages.layout import arranged, line_name

KEYS = [
    "step", "progress/images_seen", "progress/images_per_second", "progress/alpha", "train/discriminator/adversarial",
    "train/discriminator/gradient_penalty", "train/generator/adversarial", "train/logits/real", "train/logits/fake",
    "train/accuracy/real", "train/grad_norm/generator", "train/lr/generator", "train/augment/p", "accuracy/train",
    "accuracy/held_out", "eval/fid_10k", "eval/raw/fid_10k", "eval/seconds", "time/data", "time/generator",
    "warnings/count", "spectra/generator/a.b/1", "spectra/generator/c/1", "spectra/generator/c/2", "mine/own",
]  # fmt: skip


def test_every_key_is_in_one_chart() -> None:
    shown = [key for _, charts in arranged(KEYS) for chart in charts for key in chart.keys]
    assert len(shown) == len(set(shown))
    assert set(KEYS) - set(shown) == {"step", "progress/images_seen", "spectra/generator/c/2"}


def test_related_keys_are_in_one_chart() -> None:
    charts = {chart.title: chart for _, charts in arranged(KEYS) for chart in charts}
    lines = {title: {line_name(key, chart) for key in chart.keys} for title, chart in charts.items()}
    assert lines == {
        "fid 10k": {"averaged", "raw"},
        "Loss terms: discriminator": {"adversarial", "gradient penalty"},
        "Loss terms: generator": {"adversarial"},
        "Loss terms: augment": {"p"},
        "Logits": {"real", "fake"},
        "Accuracy on the batches": {"real"},
        "Fraction classified as real": {"train", "held out"},
        "Gradient norms": {"generator"},
        "Learning rates": {"generator"},
        "Images per second": {"images per second"},
        "Fractions of the time": {"data", "generator"},
        "alpha": {"alpha"},
        "seconds of an evaluation": {"seconds"},
        "Warnings so far": {"count"},
        "Largest singular values: generator": {"a.b", "c"},
        "mine": {"own"},
    }

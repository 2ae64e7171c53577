"""Every log key of a run is on its page, once, beside those that it is read with."""

from gan_lab.pages.layout import arranged, line_name

KEYS = [
    "step", "progress/images_seen", "progress/images_per_second", "progress/alpha", "train/discriminator/adversarial",
    "train/discriminator/gradient_penalty", "train/generator/adversarial", "train/logits/real", "train/logits/fake",
    "train/accuracy/real", "train/grad_norm/generator", "train/lr/generator", "train/augment/p", "accuracy/train", "accuracy/held_out",
    "eval/fid_10k", "eval/raw/fid_10k", "eval/seconds", "time/data", "time/generator", "alarms/count", "spectra/generator/a.b/1",
    "spectra/generator/c/1", "spectra/generator/c/2", "mine/own",
]  # fmt: skip


def test_all_keys_are_arranged_once() -> None:
    shown = [key for _, charts in arranged(KEYS) for chart in charts for key in chart.keys]
    assert len(shown) == len(set(shown))
    assert set(KEYS) - set(shown) == {"step", "progress/images_seen", "spectra/generator/c/2"}


def test_what_is_read_together_is_in_one_chart() -> None:
    charts = {chart.title: chart for _, charts in arranged(KEYS) for chart in charts}
    lines = {title: {line_name(key, chart) for key in chart.keys} for title, chart in charts.items()}
    assert lines == {
        "fid 10k": {"averaged", "raw"},
        "Loss terms: discriminator": {"adversarial", "gradient_penalty"},
        "Loss terms: generator": {"adversarial"},
        "Loss terms: augment": {"p"},
        "Logits": {"real", "fake"},
        "Accuracy on the batches": {"real"},
        "Share called real": {"train", "held_out"},
        "Gradient norms": {"generator"},
        "Learning rates": {"generator"},
        "Images per second": {"images_per_second"},
        "Shares of the time": {"data", "generator"},
        "alpha": {"alpha"},
        "seconds of an evaluation": {"seconds"},
        "Alarms so far": {"count"},
        "Largest singular values: generator": {"a.b", "c"},
        "mine": {"own"},
    }

"""The digits are those of scikit-learn's own function."""

import numpy as np
from sklearn.datasets import load_digits

from gan_lab.data.digits import read_digits


def test_digits_are_those_of_scikit_learn():
    found, wanted = read_digits(), load_digits()
    assert np.array_equal(np.asarray(found.items), np.round(wanted.images * (255 / 16)))
    assert found.labels.tolist() == wanted.target.tolist()

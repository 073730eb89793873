"""My first data set. conf/data/mydata.yaml says how it is divided, and in which batches it comes."""

import numpy as np

from couloir.data.samples import Samples
from couloir.data.source import ArraySource, Loaded

CLASSES = ["even", "odd"]  # class 0 and class 1


def even_or_odd(**keys):
    """The data set; `keys` are those of conf/data/mydata.yaml.

    `Samples` does the rest: it divides the images into a part to train on, one to validate on and one to test on,
    brings their brightness to mean 0 and deviation 1, and hands them out in batches.
    """
    return Samples(load, **keys)


def load():
    """All images and their classes. Read your own data here."""
    from sklearn.datasets import load_digits

    digits = load_digits()  # 1,797 images; each pixel is a number from 0 (paper) to 16 (ink)
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # (N, 8, 8), from 0 to 255
    labels = digits.target % 2  # (N,): 0 for 0, 2, 4, 6, 8, and 1 for 1, 3, 5, 7, 9
    return Loaded(ArraySource(images[:, None], labels), classes=CLASSES)  # images: (N, 1, 8, 8), one channel

"""What must be right before the numbers of a run mean anything: `make test`."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

import torch

import couloir

PROJECT = Path(__file__).resolve().parents[1]


def setUpModule():
    os.chdir(PROJECT)  # Couloir looks for ./conf
    sys.path.insert(0, str(PROJECT))  # and for mynet.py


class TestMyNet(unittest.TestCase):
    def test_each_image_gets_a_number_for_each_class(self):
        from mynet import MyNet

        net = MyNet(channels=1, num_classes=2, width=4, dropout=0.0)
        assert net(torch.zeros(5, 1, 8, 8)).shape == (5, 2)

    def test_each_weight_learns(self):
        from mynet import MyNet

        net = MyNet(channels=1, num_classes=2, width=4, dropout=0.0)
        net(torch.rand(5, 1, 8, 8)).square().sum().backward()
        for name, weight in net.named_parameters():
            assert weight.grad.abs().sum() > 0, name


class TestMyData(unittest.TestCase):
    def test_images_and_classes_belong_together(self):
        from mydata import load
        from sklearn.datasets import load_digits

        source, digits = load().train, load_digits()
        assert source.inputs.shape == (1797, 1, 8, 8)
        assert digits.target[:4].tolist() == [0, 1, 2, 3]
        assert source.targets[:4].tolist() == [0, 1, 0, 1]
        assert source.inputs[0, 0, 0].tolist() == [round(v * 255 / 16) for v in digits.images[0, 0]]


class TestFirstExperiment(unittest.TestCase):
    def test_two_epochs_are_better_than_guessing(self):
        with tempfile.TemporaryDirectory() as folder:
            words = ["experiment=first", "trainer.max_epochs=2", f"output_dir='{folder}'"]
            result = couloir.train(couloir.compose(words))
        assert result.metrics["test/accuracy"] > 0.8  # guessing: 0.5


if __name__ == "__main__":
    unittest.main()

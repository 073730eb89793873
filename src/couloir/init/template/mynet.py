"""My first network. conf/model/mynet.yaml says with which numbers it is built."""

from torch import nn


class MyNet(nn.Module):
    """Two convolutions, each of which halves the image, and one linear layer that tells the classes apart."""

    def __init__(self, channels, num_classes, width, dropout):
        super().__init__()
        # (B, C, H, W) is the shape of a batch: B images, C channels, H rows, W columns.
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, kernel_size=3, padding=1),  # (B, 1, 8, 8) -> (B, width, 8, 8)
            nn.ReLU(),
            nn.MaxPool2d(2),  # -> (B, width, 4, 4): the largest of each 2x2 pixels
            nn.Conv2d(width, 2 * width, kernel_size=3, padding=1),  # -> (B, 2 * width, 4, 4)
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),  # -> (B, 2 * width, 2, 2): images of other sizes work as well
            nn.Flatten(),  # -> (B, 8 * width)
            nn.Dropout(dropout),
        )
        self.classifier = nn.Linear(8 * width, num_classes)  # -> (B, num_classes): one number for each class

    def forward(self, x):
        # No softmax here: the loss, cross-entropy, takes the numbers as they are (logits).
        return self.classifier(self.features(x))

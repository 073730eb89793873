"""Reading data files: idx, CIFAR's binary layout, tables, photographs; and what is checked before torch is imported."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from couloir.data import cifar, images, mnist, table
from couloir.data.folder import FileSource, load_folder
from couloir.data.listing import Listing, list_images
from couloir.data.source import Loaded
from couloir.errors import CouloirError
from pairs import pair

RNG = np.random.default_rng(0)


def write_idx(path: Path, values: np.ndarray) -> None:
    """An idx file of bytes, written independently of the reader."""
    content = b"\x00\x00\x08" + bytes([values.ndim]) + b"".join(struct.pack(">I", side) for side in values.shape)
    content += values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_mnist(root: Path, ending: str = "", count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    root.mkdir(parents=True, exist_ok=True)
    pixels, labels = RNG.integers(256, size=(count, 28, 28)), np.arange(count) % 10
    for split in ("train", "t10k"):
        write_idx(root / f"{split}-images-idx3-ubyte{ending}", pixels)
        write_idx(root / f"{split}-labels-idx1-ubyte{ending}", labels)
    return pixels, labels


COMMON = {"task": "classification", "channels": 1, "image_size": 28, "num_classes": 10, "batch_size": 8}


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("where", [".", "mnist", "MNIST/raw"])
def test_idx_files_are_read_zipped_or_not_wherever_they_usually_are(ending: str, where: str, tmp_path: Path) -> None:
    pixels, labels = write_mnist(tmp_path / where, ending)
    mnist.inspect("mnist", {"root": str(tmp_path)})
    samples = mnist.mnist(str(tmp_path), standardize=False, **COMMON)
    samples.setup()
    batches = list(samples.test_dataloader())
    x, y = torch.cat([x for x, _ in map(pair, batches)]), torch.cat([y for _, y in map(pair, batches)])
    np.testing.assert_allclose(x[:, 0].numpy(), pixels / 255, atol=1e-6)
    assert y.tolist() == labels.tolist()


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("cut", [1, 500, 30_000])
def test_a_torn_idx_file_is_named(ending: str, cut: int, tmp_path: Path) -> None:
    write_mnist(tmp_path, ending)
    file = tmp_path / f"train-images-idx3-ubyte{ending}"
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(CouloirError, match=r"train-images-idx3-ubyte.* is (incomplete|truncated)"):
        mnist.inspect("mnist", {"root": str(tmp_path)})
    with pytest.raises(CouloirError):
        mnist.read_idx(file, 3)


def test_a_file_that_is_no_idx_file_is_named(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(b"<html>not found</html>" * 3)
    with pytest.raises(CouloirError, match="t10k-images-idx3-ubyte is not an idx file"):
        mnist.inspect("mnist", {"root": str(tmp_path)})


def test_labels_that_are_missing_or_outside_of_the_classes_are_named(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(39) % 10)
    with pytest.raises(CouloirError, match="40 images and 39 labels"):
        mnist.inspect("mnist", {"root": str(tmp_path)})
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.array([*range(39), 200]) % 201 % 10 + np.eye(1, 40, 7)[0] * 90)
    with pytest.raises(CouloirError, match=r"of sample 7 is outside of 0\.\.9"):
        mnist.inspect("mnist", {"root": str(tmp_path)})


def test_a_stated_root_without_the_files_is_said_and_nothing_is_fetched_into_it(tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match="has no train-images-idx3-ubyte"):
        mnist.inspect("fashion_mnist", {"root": str(tmp_path)})
    with pytest.raises(CouloirError, match=r"holds neither cifar-10-binary\.tar\.gz"):
        cifar.inspect("cifar10", {"root": str(tmp_path)})
    assert not list(tmp_path.iterdir())


def test_without_a_stated_root_missing_files_are_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COULOIR_DATA", raising=False)
    assert mnist.inspect("mnist", {"root": None}) == {}
    assert cifar.inspect("cifar10", {"root": None})["num_classes"] == 10


def records(count: int, label_bytes: int, classes: int) -> tuple[np.ndarray, bytes]:
    values = RNG.integers(256, size=(count, label_bytes + 3072)).astype(np.uint8)
    values[:, :label_bytes] = np.arange(count * label_bytes).reshape(count, label_bytes) % classes
    return values, values.tobytes()


def cifar10_files(root: Path) -> np.ndarray:
    root.mkdir(parents=True)
    parts = []
    for name in (*cifar.TRAIN["cifar10"], "test_batch.bin"):
        values, content = records(10, 1, 10)
        (root / name).write_bytes(content)
        parts.append(values)
    return parts[-1]


def test_cifar10_is_read_from_its_folder_with_planes_in_order(tmp_path: Path) -> None:
    test = cifar10_files(tmp_path / "cifar-10-batches-bin")
    settings = {**COMMON, "channels": 3, "image_size": 32, "standardize": False}
    samples = cifar.cifar10(str(tmp_path), **settings)
    samples.setup()
    x, y = pair(next(iter(samples.test_dataloader())))
    assert y.tolist() == test[:8, 0].tolist()
    np.testing.assert_allclose(x[3, 2, 5, 7], test[3, 1 + 2 * 1024 + 5 * 32 + 7] / 255, rtol=1e-5)


def tar_of(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize(("kind", "classes"), [("fine", 100), ("coarse", 20)])
def test_cifar100_is_read_from_its_archive_without_extracting(kind: str, classes: int, tmp_path: Path) -> None:
    values, content = records(30, 2, 20)
    archive = tmp_path / "cifar-100-binary.tar.gz"
    tar_of(archive, {"cifar-100-binary/train.bin": content, "cifar-100-binary/test.bin": content})
    facts = cifar.inspect("cifar100", {"root": str(tmp_path), "labels": kind})
    assert facts["num_classes"] == classes
    settings = {**COMMON, "channels": 3, "image_size": 32, "num_classes": classes, "batch_size": 30}
    samples = cifar.cifar100(str(tmp_path), kind, **settings)
    samples.setup()
    _, y = pair(next(iter(samples.test_dataloader())))
    assert y.tolist() == values[:, 0 if kind == "coarse" else 1].tolist()
    assert [path.name for path in tmp_path.iterdir()] == [archive.name], "nothing was written"


def test_an_archive_cannot_write_outside_or_stand_in_for_files_by_links(tmp_path: Path) -> None:
    _, content = records(3, 2, 20)
    archive = tmp_path / "cifar-100-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as stream:
        for name in ("../../evil.bin", "/etc/evil"):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            stream.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("train.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        stream.addfile(link)
    with pytest.raises(CouloirError, match=r"has no train\.bin"):
        cifar.read_archive(archive, ("train.bin", "test.bin"))
    assert not (tmp_path.parent.parent / "evil.bin").exists()


def test_pipes_devices_and_hard_links_do_not_stand_in_for_files(tmp_path: Path) -> None:
    archive = tmp_path / "cifar-100-binary.tar.gz"
    for kind in (tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE):
        with tarfile.open(archive, "w:gz") as stream:
            member = tarfile.TarInfo("cifar-100-binary/train.bin")
            member.type, member.linkname, member.devmajor, member.devminor = kind, "/etc/passwd", 1, 5
            stream.addfile(member)
        with pytest.raises(CouloirError, match=r"has no train\.bin"):
            cifar.read_archive(archive, ("train.bin",))
        assert [path.name for path in tmp_path.iterdir()] == [archive.name]


@pytest.mark.parametrize("name", ["train.bin", "unwanted", "pax"])
def test_an_archive_that_inflates_without_end_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar, "MOST_BYTES", 1 << 20)
    archive = tmp_path / "cifar-100-binary.tar.gz"
    if name == "pax":  # the header itself is the bomb
        header = tarfile.TarInfo("././@PaxHeader")
        header.type, header.size = tarfile.XHDTYPE, 1 << 40
        archive.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(4 << 20)))
    else:
        tar_of(archive, {name: bytes(4 << 20)})
    assert archive.stat().st_size < 20_000
    with pytest.raises(CouloirError, match="unpacks to more than"):
        cifar.read_archive(archive, ("train.bin",))


def test_an_idx_file_that_inflates_to_more_than_its_header_says_is_read_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 2, 28, 28) + bytes(64 << 20)))
    asked: list[int] = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: asked.append(size) or read(self, size))
    with pytest.raises(CouloirError, match="too long: its header states 1,584 bytes, there are more"):
        mnist.read_idx(file, dimensions=3)
    assert -1 not in asked
    assert max(asked) == 1585
    file.write_bytes(gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 1 << 31, 1 << 31, 1 << 31)))
    with pytest.raises(CouloirError, match="the limit is 1,073,741,824"):
        mnist.read_idx(file, dimensions=3)


def test_torn_and_pickled_cifar_are_explained(tmp_path: Path) -> None:
    cifar10_files(tmp_path / "torn")
    (tmp_path / "torn/data_batch_3.bin").write_bytes(b"\x01" * 5000)
    with pytest.raises(CouloirError, match=r"data_batch_3\.bin is truncated"):
        cifar.inspect("cifar10", {"root": str(tmp_path / "torn")})
    (tmp_path / "pickled/cifar-10-batches-py").mkdir(parents=True)
    with pytest.raises(CouloirError, match="a pickle can run code"):
        cifar.inspect("cifar10", {"root": str(tmp_path / "pickled")})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/cifar-10-binary.tar.gz").write_bytes(b"\x1f\x8b rubbish")
    with pytest.raises(CouloirError, match="is damaged"):
        cifar.read_archive(tmp_path / "broken/cifar-10-binary.tar.gz", ("a",))


def write_table(path: Path, text: str) -> dict[str, object]:
    path.write_text(text, encoding="utf-8")
    return {"path": str(path), "target": "y"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_is_read_whatever_separates_its_cells(delimiter: str, tmp_path: Path) -> None:
    rows = [["a", "y", "b"], *[[str(3 * n), "cat" if n % 2 else "dog", str(n / 4)] for n in range(8)]]
    text = "\ufeff" + "\r\n".join(delimiter.join(row) for row in rows)
    facts = table.inspect("table", write_table(tmp_path / "t.csv", text))
    fields = {"row": "row", "label": "label"}
    assert facts == {
        "task": "classification", "fields": fields, "channels": 2, "categories": [], "num_classes": 2,
        "classes": ["cat", "dog"],
    }  # fmt: skip
    found = table.read_table(table.Wanted.of({"path": str(tmp_path / "t.csv"), "target": "y"}))
    assert [feature.name for feature in found.features] == ["a", "b"]
    assert found.compact[3].tolist() == [9.0, 0.75]


def test_integer_classes_are_mapped_in_their_order(tmp_path: Path) -> None:
    keys = write_table(tmp_path / "t.csv", "x,y\n" + "\n".join(f"{n},{[10, 2, 7][n % 3]}" for n in range(9)))
    facts = table.inspect("table", keys)
    assert facts["classes"] == ["2", "7", "10"]
    samples = table.table(str(keys["path"]), "y", [], None, **facts, image_size=None, batch_size=9)
    samples.setup()
    _, y = pair(next(iter(samples.test_dataloader())))
    lines = samples.splits["test"].indices
    assert y.tolist() == [[2, 0, 1][line % 3] for line in lines]


def test_classes_whose_number_is_stated_keep_their_values_as_labels(tmp_path: Path) -> None:
    keys = write_table(tmp_path / "t.csv", "x,y\n" + "1,0\n2,3\n" * 9)
    assert table.inspect("table", {**keys, "num_classes": 5})["classes"] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("text", "extra", "message"),
    [
        ("x,y\n1,0\nabc,1\n3,0\n", {}, "Column 'x' holds 'abc'"),
        ("x,y\n1,0\n,1\n3,0\n", {"missing": "refuse"}, "Column 'x' is empty"),
        ("x,y\n1,0\nnan,1\n3,0\n", {"missing": "refuse"}, "Column 'x' holds 'nan'"),
        ("x,y\n1,0\n2,\n3,0\n", {}, "The target 'y' is empty"),
        ("x,z\n1,0\n", {}, "has no column 'y'"),
        ("x,y\n1,0\n1,0,5\n3,4\n", {}, "A row has 3 cells, the header has 2"),
        ("x,y\n1,0\n2,1\n", {}, "has 2 rows"),
        ("", {}, "is empty"),
        ("y\n" + "1\n" * 9, {}, "no column besides 'y'"),
        ("x,y\n" + "1,a\n2,b\n" * 9, {"task": "regression"}, "holds 'a', which is text"),
        ("x,y\n" + "1,0\n2,5\n" * 9, {"num_classes": 3}, "Label 5 is outside of the 3 classes"),
        ("x,y\n" + "1,-1\n2,1\n" * 9, {"num_classes": 3}, "Label -1 is outside"),
        ("x,y\n" + "1,a\n2,b\n" * 9, {"num_classes": 3}, "There are 2 classes, not 3"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(text: str, extra: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match=message):
        table.inspect("table", {**write_table(tmp_path / "t.csv", text), **extra})


def test_the_line_of_a_wrong_cell_is_named(tmp_path: Path) -> None:
    keys = write_table(tmp_path / "t.csv", 'x,note,y\n1,"two\nlines",0\n2,a,1\nthree,b,0\n')
    with pytest.raises(CouloirError, match="line 5"):
        table.inspect("table", {**keys, "ignore": ["note"]})


def test_a_column_can_be_left_out(tmp_path: Path) -> None:
    keys = write_table(tmp_path / "t.csv", "x,name,y\n" + "1,a,0\n2,b,1\n" * 9)
    assert table.inspect("table", {**keys, "ignore": ["name"]})["channels"] == 1


def photographs(root: Path, sizes: dict[str, tuple[int, int]] | None = None) -> Path:
    for split, count in (("train", 6), ("val", 2)):
        for name, colour in (("ants", (200, 0, 0)), ("bees", (0, 200, 0))):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                ending = [".png", ".jpg", ".bmp", ".webp", ".JPEG", ".PNG"][number]
                Image.new("RGB", (50, 40), colour).save(folder / f"{number}{ending}")
    return root


def load(listing: Listing, memory_budget: float) -> Loaded:
    return load_folder(listing.splits, listing.classes, 24, memory_budget)


def test_photographs_of_all_kinds_are_found_and_decoded(tmp_path: Path) -> None:
    root = photographs(tmp_path / "photos")
    (root / "train/ants/notes.txt").write_text("not an image, and not called one")
    facts = images.inspect("image_folder", {"root": str(root)})
    fields = {"image": "image", "label": "label"}
    assert facts == {"task": "classification", "fields": fields, "num_classes": 2, "classes": ["ants", "bees"]}
    loaded = load(list_images(root), 1.0)
    assert len(loaded.train.targets) == 12
    assert loaded.val is not None
    assert loaded.test is None
    x = loaded.train.fetch(torch.arange(12))
    assert x.shape == (12, 3, 24, 24)
    assert x[:6, 0].float().mean() > 150
    assert x[6:, 1].float().mean() > 150


def test_files_and_memory_give_the_same_images(tmp_path: Path) -> None:
    listing = list_images(photographs(tmp_path / "photos"))
    whole, lazy = load(listing, 1.0), load(listing, 0.0)
    order = torch.tensor([7, 0, 11])
    assert torch.equal(whole.train.fetch(order), lazy.train.fetch(order))
    assert type(whole.train) is not type(lazy.train)


@pytest.mark.parametrize(("width", "height"), [(60, 30), (30, 60), (16, 16), (8, 100)])
def test_the_middle_of_any_shape_is_cut_out(width: int, height: int, tmp_path: Path) -> None:
    picture = Image.new("L", (width, height), 0)
    picture.paste(255, (width // 4, height // 4, width - width // 4, height - height // 4))
    picture.save(tmp_path / "x.png")
    samples, first = [(tmp_path / "x.png", 0)], torch.tensor([0])
    out = FileSource(samples, 16, 1).fetch(first)[0]
    assert out.shape == (1, 16, 16)
    assert out[0, 8, 8] == 255
    assert FileSource(samples, 16, 3).fetch(first).shape == (1, 3, 16, 16)


def test_classes_without_train_folder_and_with_stated_numbers(tmp_path: Path) -> None:
    photographs(tmp_path / "photos")
    assert list_images(tmp_path / "photos/train").classes == ["ants", "bees"]
    with pytest.raises(CouloirError, match="2 class folders, not 5"):
        images.inspect("image_folder", {"root": str(tmp_path / "photos"), "num_classes": 5})


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    root = photographs(tmp_path / "photos")
    (root / "val/wasps").mkdir()
    with pytest.raises(CouloirError, match="'wasps' is in val but not in train"):
        list_images(root)
    (root / "val/wasps").rmdir()
    (root / "train/empty").mkdir()
    with pytest.raises(CouloirError, match="'empty' has no images"):
        list_images(root)
    (root / "train/empty").rmdir()
    (root / "train/ants/9.jpg").write_bytes(b"<html>not found</html>")
    with pytest.raises(CouloirError, match=r"9\.jpg is not an image"):
        images.inspect("image_folder", {"root": str(root)})
    (tmp_path / "nothing").mkdir()
    with pytest.raises(CouloirError, match="no class folders"):
        list_images(tmp_path / "nothing")


def test_an_image_that_breaks_off_is_named_when_it_is_decoded(tmp_path: Path) -> None:
    root = photographs(tmp_path / "photos")
    file = root / "train/bees/1.jpg"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(CouloirError, match=r"1\.jpg cannot be decoded"):
        load(list_images(root), 1.0)


def test_the_fingerprint_of_photographs_follows_their_bytes(tmp_path: Path) -> None:
    root = photographs(tmp_path / "photos")

    def fingerprint() -> str:
        samples = images.image_folder(
            str(root), 0.0, task="classification", channels=3, image_size=8, num_classes=2, batch_size=4
        )
        samples.setup()
        return samples.fingerprint()

    before = fingerprint()
    assert fingerprint() == before
    for path in root.rglob("*.bmp"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(bytes(content))
    assert fingerprint() != before


def test_checks_before_training_do_not_import_torch(tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist")
    cifar10_files(tmp_path / "cifar")
    photographs(tmp_path / "photos")
    (tmp_path / "t.csv").write_text("x,y\n" + "1,0\n2,1\n" * 9)
    program = f"""
import sys
from couloir.data import cifar, digits, images, mnist, regression, synthetic, table, toy
mnist.inspect("mnist", {{"root": r"{tmp_path / "mnist"}"}})
cifar.inspect("cifar10", {{"root": r"{tmp_path / "cifar"}"}})
images.inspect("image_folder", {{"root": r"{tmp_path / "photos"}"}})
table.inspect("table", {{"path": r"{tmp_path / "t.csv"}", "target": "y"}})
assert not {{"torch", "sklearn", "pytorch_lightning"}} & set(sys.modules), "too heavy for a check"
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_real_mnist_has_its_known_counts_and_statistics(couloir_data: Path) -> None:
    samples = mnist.mnist(str(couloir_data), mean=None, std=None, val_fraction=1 / 12, **COMMON)
    samples.setup()
    assert samples.sizes() == {"train": 55_000, "val": 5_000, "test": 10_000}
    assert samples.mean == pytest.approx([0.1307], abs=5e-4)
    assert samples.std == pytest.approx([0.3081], abs=5e-4)


def test_real_cifar10_has_its_known_statistics(couloir_data: Path) -> None:
    settings = {**COMMON, "channels": 3, "image_size": 32}
    samples = cifar.cifar10(str(couloir_data), mean=None, std=None, val_fraction=0.1, **settings)
    samples.setup()
    assert samples.sizes() == {"train": 45_000, "val": 5_000, "test": 10_000}
    assert samples.mean == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-3)
    assert samples.std == pytest.approx([0.2470, 0.2435, 0.2616], abs=1e-3)

"""Whole event files of a few records, for what a run has to say once: written in one go, so never torn or doubled.

They lie in a folder of their own below the run's `tensorboard/`, whose files grow and are cut back when a run goes on.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from couloir.logger.hyperparameters import Plain
from couloir.record.files import write_atomically

FOLDER = "result"
"""Below the run's event files; TensorBoard lists it as a run of its own, the one that HParams shows."""


def write_events(folder: Path, kind: str, events: Iterable[Event], instead_of: tuple[str, ...] = ()) -> None:
    """Write an event file of a kind, in place of those that are there.

    Args:
        folder: a run's folder of event files.
        kind: what the file is for, the end of its name.
        events: what it holds, in order.
        instead_of: further kinds that it takes the place of.

    Raises:
        OSError: it cannot be written.
    """
    stream = io.BytesIO()
    writer = RecordWriter(stream)
    now = time.time()
    for event in (Event(file_version="brain.Event:2"), *events):
        event.wall_time = now
        writer.write(event.SerializeToString())
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    old = [file for name in (kind, *instead_of) for file in files(folder, name)]
    old += place.glob(".events.*")  # what a killed process was writing
    # A new name each time: a TensorBoard that is open would go on reading the old file where it left off.
    new = place / f"events.out.tfevents.{now:.6f}.{kind}"
    write_atomically(new, stream.getvalue())
    for file in old:
        if file != new:
            file.unlink(missing_ok=True)


def files(folder: Path, kind: str) -> list[Path]:
    """The event files of a kind; there is one, or none."""
    return sorted((folder / FOLDER).glob(f"events.out.tfevents.*.{kind}"))


def session_start(run: str, hyperparameters: Mapping[str, Plain]) -> Event:
    """The record that lists a run in the HParams tab.

    Args:
        run: what it is called there; runs of the same name would share a row.
        hyperparameters: its columns.
    """
    return Event(summary=hparams_pb(dict(hyperparameters), trial_id=run))


def session_end() -> Event:
    """The record that says that a run has completed."""
    info = SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG, metadata=metadata.create_summary_metadata(HParamsPluginData(
            session_end_info=info
        )), tensor=metadata.NULL_TENSOR,
    )  # fmt: skip
    return Event(summary=Summary(value=[value]))


def scalar(name: str, value: float, step: int) -> Event:
    """A number."""
    return Event(step=step, summary=scalar_pb(name, value))


def image(name: str, png: bytes, size: tuple[int, int], step: int) -> Event:
    """A picture, `size` its width and height in pixels."""
    picture = Summary.Image(width=size[0], height=size[1], colorspace=3, encoded_image_string=png)
    return Event(step=step, summary=Summary(value=[Summary.Value(tag=name, image=picture)]))

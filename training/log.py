"""What a training tells while it runs: `log.jsonl`, a line for each epoch, and TensorBoard."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from training.files import write_text


class Log:
    """The log of one run, from after `epoch`: lines beyond it are of an epoch that was never saved, and are told anew.

    Use it in a `with`; look at it with `tensorboard --logdir runs`.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        self.path = folder / "log.jsonl"
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        self.rows: list[dict[str, Any]] = [row for row in map(json.loads, lines) if row["epoch"] <= epoch]
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=epoch + 1)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._board.close()

    def tell(self, row: dict[str, Any]) -> None:
        """Show an epoch's row and write it down, before the checkpoint that ends the epoch."""
        self.rows.append(row)
        write_text(self.path, "".join(json.dumps(one) + "\n" for one in self.rows))
        tqdm.write(json.dumps(row))
        sys.stdout.flush()  # tqdm does not: a file would have it 60 epochs late, and after a fault that ends them
        for key, value in row.items():
            if key != "epoch":
                self._board.add_scalar(key, value, row["epoch"])
        self._board.flush()

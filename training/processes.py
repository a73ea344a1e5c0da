"""One process or many: `torchrun --nproc-per-node N -m -- training train …` (Li et al. 2020)."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from training.errors import DataError


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a run's folder: two would write into one another's files.

    The lock is this process's own: its loaders do not share it, and it goes with the process, however that ends.
    Raises `DataError` where another has it.
    """
    with (folder / "training.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            file.seek(0)
            raise DataError(
                f"Process {file.read()} trains in {folder} already: wait for its end, or stop it first."
            ) from fault
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@dataclass(frozen=True)
class Processes:
    """The processes that train one model together: this one's `rank`, how many there are, and its device."""

    rank: int
    count: int
    device: torch.device

    @classmethod
    def join(cls) -> Processes:
        """Join those that `torchrun` started, over NCCL on GPUs and gloo on CPUs; alone without it.

        Pictures keep their size for many steps, so cuDNN may try which of its convolutions is quickest.
        """
        cuda = torch.cuda.is_available()
        torch.backends.cudnn.benchmark = cuda
        if not dist.is_torchelastic_launched():
            return cls(0, 1, torch.device("cuda" if cuda else "cpu"))
        if not dist.is_initialized():
            dist.init_process_group("nccl" if cuda else "gloo")
        if cuda:
            torch.cuda.set_device(dist.get_node_local_rank())
        device = torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
        return cls(dist.get_rank(), dist.get_world_size(), device)

    @property
    def is_first(self) -> bool:
        """The first process writes files and talks; the others compute."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            dist.barrier()

    def share_of(self, batch: int) -> int:
        """How many photos of a batch are this process's. Raises `DataError` where they cannot be dealt out evenly."""
        if batch % self.count:
            raise DataError(f"A batch of {batch} photos cannot be dealt out evenly to {self.count} processes.")
        return batch // self.count

    def joined(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over all processes; BatchNorm looks at all their photos on GPUs."""
        if self.count == 1:
            return module
        if self.device.type == "cuda":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return nn.parallel.DistributedDataParallel(module)

    def mean(self, value: float) -> float:
        """The mean over all processes."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float32, device=self.device)
        dist.all_reduce(total)
        return float(total) / self.count


def quick_workers() -> int:
    """Processes that make views for this one: beside a GPU its share of the cores but one, else one.

    On a CPU the network needs the cores itself. `torchrun` tells how many processes share the machine.
    """
    share = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, share - 1) if torch.cuda.is_available() else 1

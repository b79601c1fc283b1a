"""What each process of `test_pretrain_two_processes.py` runs, started by `accelerate launch`."""

import json
import sys
from pathlib import Path

from accelerate import PartialState

from teacher.config import TeacherConfig
from teacher.pretrain.run import pretrain
from wafer_data.store import ImageStore

if __name__ == "__main__":
    PartialState(cpu=True)
    config, data, out = sys.argv[1:]
    pretrain(TeacherConfig(**json.loads(Path(config).read_text())), ImageStore.open(data), Path(out))

"""Images of another size are refused at the door of every model, by name and with what to do."""

import pytest
import torch

from student_vae import load_student
from teacher.model import load_teacher
from wafer_data.errors import DataError


@pytest.mark.parametrize(
    "shape", [(1, 1, 8, 8), (2, 1, 128, 128), (1, 3, 256, 256), (1, 256, 256), (1, 1, 512, 512)]
)
@pytest.mark.parametrize("model", ["lowres", "teacher"])
def test_a_model_says_what_it_sees(tiny_run, model, shape):
    found = load_teacher(tiny_run / model) if model == "teacher" else load_student(tiny_run / model)
    with pytest.raises(DataError, match=r"256 x 256 pixels.*to_square"):
        found.score(torch.zeros(shape))

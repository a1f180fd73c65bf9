"""The kit of `decant distill` trains a student, continues after an interruption, and runs on several processes."""

import csv
import os
import shutil
import subprocess
import sys
import time

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file

from conftest import FIXTURES, facts, run

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
# Small batches, so that a test takes seconds.
SETTINGS = ["--batch", "4", "--micro-batch", "2", "--sampler-steps", "8", "--guidance-scale", "4", "--cpu"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"}


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distill")
    run("strip", FIXTURES / "mini-sd", "-o", folder / "student", "--recipe", "bk-sdm-small")
    run("distill", FIXTURES / "mini-sd", folder / "student", "-o", folder / "kit",
        "--prompts", FIXTURES / "mini-sd" / "calibration.txt")
    return folder / "kit"


def command(kit, name, *arguments, processes=1):
    launcher = [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone",
                                          "--nproc_per_node", str(processes)]
    return [sys.executable, *launcher, str(kit / "distill.py"), *SETTINGS, "--training", f"{name}-training",
            "--result", name, *arguments]


def train(kit, name, *arguments, processes=1):
    done = subprocess.run(command(kit, name, *arguments, processes=processes), cwd=kit, env=ENVIRONMENT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def log(kit, name):
    """The rows of a log, without the seconds."""
    with open(kit / f"{name}-training" / "log.csv", newline="") as file:
        return [{key: float(value) for key, value in row.items() if key != "seconds"}
                for row in csv.DictReader(file)]


def test_a_continued_training_equals_an_unbroken_one(kit):
    steps = ["--steps", "10", "--checkpoint-every", "4", "--preview-every", "0"]
    train(kit, "whole", *steps)
    process = subprocess.Popen(command(kit, "broken", *steps), cwd=kit, env=ENVIRONMENT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path = kit / "broken-training" / "checkpoint" / "state.pt"
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    stopped = torch.load(path)["step"]
    assert stopped in (4, 8)
    assert f"continues from step {stopped}" in train(kit, "broken", *steps)
    assert log(kit, "broken") == log(kit, "whole")
    assert [row["step"] for row in log(kit, "whole")] == list(range(1, 11))
    assert all(row["task"] == 0 for row in log(kit, "whole"))
    found, expected = load_file(kit / "broken" / WEIGHTS), load_file(kit / "whole" / WEIGHTS)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("local", [False, True])
def test_two_processes_lower_the_loss(kit, local):
    name = "local" if local else "shared"
    options = ["--stage-local"] if local else ["--gradient-checkpointing"]
    train(kit, name, "--steps", "16", "--warm-up", "4", "--preview-every", "16", *options, processes=2)
    rows = log(kit, name)
    assert len(rows) == 16
    first, last = (sum(row["loss"] for row in part) / 4 for part in (rows[:4], rows[-4:]))
    assert last < first / 2, (first, last)
    files = {path.name for path in (kit / f"{name}-training" / "checkpoint").iterdir()}
    assert files == {"state.pt", "process-0.pt", "process-1.pt"}
    assert (kit / f"{name}-training" / "preview-000016.png").exists()

    pipeline = DiffusionPipeline.from_pretrained(kit / name)
    assert pipeline.unet.config.mid_block_type is None
    assert facts("inspect", kit / name)["family"] == facts("inspect", kit / "student")["family"]
    before, after = load_file(kit / "student" / WEIGHTS), load_file(kit / name / WEIGHTS)
    assert before.keys() == after.keys()
    assert all(after[key].dtype == torch.float16 and torch.isfinite(after[key]).all() for key in after)
    changed = [key for key in after if not torch.equal(before[key], after[key])]
    assert len(changed) > 0.9 * len(after)


def test_images_and_latents_add_the_task_loss(kit, tmp_path):
    from PIL import Image
    from safetensors.torch import save_file

    captions = ["a red circle on a blue background", "a large yellow star on a black background"]
    images = tmp_path / "images"
    images.mkdir()
    for index, caption in enumerate(captions):
        Image.new("RGB", (80, 64 + 8 * index), (200, 40, 40)).save(images / f"{index}.png")
        (images / f"{index}.txt").write_text(caption)
    torch.manual_seed(1)
    save_file({"latents": torch.randn(2, 4, 8, 8)}, tmp_path / "latents.safetensors")
    (tmp_path / "latents.txt").write_text("\n".join(captions))
    for name, path in (("images", images), ("latents", tmp_path / "latents.safetensors")):
        train(kit, name, f"--{name}", path, "--steps", "2", "--preview-every", "0")
        assert all(row["task"] > 0 for row in log(kit, name))


def test_an_unknown_setting_is_refused(kit, tmp_path):
    copy = tmp_path / "kit"
    shutil.copytree(kit, copy, ignore=shutil.ignore_patterns("*-training", "teacher", "student"))
    (copy / "settings.json").write_text('{"learning_rate": 1}')
    done = subprocess.run(command(copy, "x"), cwd=copy, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(f"{copy / 'settings.json'}: unknown settings: learning_rate")

"""Live cross-checks of the results and files of `decant` against diffusers, transformers and safetensors."""

import json
import os
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
DECANT = Path(os.environ.get("DECANT", TOP / ".build" / "release" / "decant"))
FIXTURES = TOP / "Fixtures"


def run(*arguments, code=0):
    """Runs decant and returns its standard output; any other exit code fails the test."""
    done = subprocess.run(
        [str(DECANT), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, f"exit {done.returncode}: {' '.join(map(str, arguments))}\n{done.stderr}"
    return done.stdout if code == 0 else done.stderr


def facts(*arguments):
    """Returns the JSON that decant prints."""
    return json.loads(run(*arguments, "--json", "--quiet"))


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory):
    """Fresh random pipelines of every shape, saved as diffusers folders: name -> (pipeline, folder)."""
    from random_models import SHAPES, make_pipeline

    root = tmp_path_factory.mktemp("pipelines")
    made = {}
    for seed, name in enumerate(SHAPES):
        pipeline = make_pipeline(name, seed)
        folder = root / name
        pipeline.save_pretrained(folder)
        # As in the published configs of SD 1. Without it DDIM clips latents. Clipped random latents
        # are chaotic: rounding errors grow a thousandfold within a few steps, in torch as well.
        config = folder / "scheduler" / "scheduler_config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"clip_sample": False}))
        made[name] = (pipeline, folder)
    return made


@pytest.fixture(scope="session")
def families(tmp_path_factory):
    """Fresh random pipelines of every family, saved as diffusers folders: name -> (pipeline, folder)."""
    from random_models import FAMILIES, make_family

    root = tmp_path_factory.mktemp("families")
    made = {}
    for seed, name in enumerate(FAMILIES):
        pipeline = make_family(name, seed)
        pipeline.set_progress_bar_config(disable=True)
        pipeline.save_pretrained(root / name)
        made[name] = (pipeline, root / name)
    return made


def pytest_terminal_summary(terminalreporter):
    from measures import worst

    terminalreporter.section("largest relative RMS errors")
    for test, error in sorted(worst.items()):
        terminalreporter.write_line(f"{error:.1e}  {test}")

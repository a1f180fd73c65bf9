"""Single files: `from_single_file` loads those of decant, and decant reads those of diffusers and torch."""

import json

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from conftest import run
from random_models import FAMILIES, make_family

NAMES = list(FAMILIES)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("single")
    made = {}
    for seed, name in enumerate(NAMES):
        pipeline = make_family(name, seed)
        pipeline.save_pretrained(root / name)
        run("convert", root / name, "-o", root / f"{name}.safetensors", "--quiet")
        made[name] = (pipeline, root / name, root / f"{name}.safetensors")
    return made


def equal(found, expected):
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("name", NAMES)
def test_unet_and_vae_from_single_file(files, name):
    """diffusers' converter, given the configs, finds every tensor."""
    pipeline, folder, file = files[name]
    # diffusers' converter drops the guidance embedding of latent consistency models.
    if not pipeline.unet.config.time_cond_proj_dim:
        unet = UNet2DConditionModel.from_single_file(str(file), config=str(folder), subfolder="unet")
        equal(unet.state_dict(), pipeline.unet.state_dict())
    vae = AutoencoderKL.from_single_file(str(file), config=str(folder), subfolder="vae")
    equal(vae.state_dict(), pipeline.vae.state_dict())


@pytest.mark.parametrize("name", ["sd-v1", "sdxl", "sd-v2-base"])
def test_whole_pipelines_from_single_file(files, name):
    pipeline, folder, file = files[name]
    kind = StableDiffusionXLPipeline if name == "sdxl" else StableDiffusionPipeline
    read = kind.from_single_file(str(file), config=str(folder), local_files_only=True)
    for part in ["unet", "vae", "text_encoder", "text_encoder_2"]:
        model = getattr(pipeline, part, None)
        if model is not None:
            equal(getattr(read, part).state_dict(), model.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_round_trip(files, tmp_path, name):
    _, folder, file = files[name]
    run("convert", file, "-o", f"{tmp_path / 'back'}/", "--quiet")
    for part in sorted(folder.iterdir()):
        for weights in part.glob("*.safetensors"):
            found = load_file(tmp_path / "back" / part.name / weights.name)
            expected = {
                key if part.name != "text_encoder" or key.startswith("text_model.") else f"text_model.{key}": value
                for key, value in load_file(weights).items()
            }
            equal(found, expected)
        if (part / "config.json").exists():
            found = json.loads((tmp_path / "back" / part.name / "config.json").read_text())
            assert found == json.loads((part / "config.json").read_text())


@pytest.mark.parametrize("extension", ["ckpt", "safetensors"])
def test_files_of_others_keep_their_metadata_and_lose_their_buffers(files, tmp_path, extension):
    """As in web UIs: training buffers, position ids as floats, a moving average, no configs of decant."""
    pipeline, folder, file = files["sd-v1"]
    state = load_file(file)
    average = {
        "model_ema." + key.removeprefix("model.").replace(".", ""): value + 1
        for key, value in state.items()
        if key.startswith("model.diffusion_model.")
    }
    extra = {
        "betas": torch.linspace(0, 1, 1000), "alphas_cumprod": torch.linspace(1, 0, 1000),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77.0)[None],
        "model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7),
        "cond_stage_model.logit_scale": torch.tensor(1.0),
    }
    path = tmp_path / f"theirs.{extension}"
    tensors = {key: value.contiguous() for key, value in (state | average | extra).items()}
    if extension == "ckpt":
        torch.save({"state_dict": tensors, "global_step": 840000, "epoch": 3}, path)
    else:
        save_file(tensors, path, metadata={"modelspec.title": "a model", "ss_network": "x"})
    for options, shift in [([], 0), (["--ema"], 1)]:
        run("convert", path, "-o", f"{tmp_path / 'out'}/", "--quiet", "--force", *options)
        found = load_file(tmp_path / "out" / "unet" / "diffusion_pytorch_model.safetensors")
        equal(found, {key: value + shift for key, value in pipeline.unet.state_dict().items()})
    if extension == "safetensors":
        run("convert", path, "-o", tmp_path / "again.safetensors", "--quiet")
        with safe_open(tmp_path / "again.safetensors", "pt") as again:
            metadata = again.metadata()
        assert metadata["modelspec.title"] == "a model" and metadata["ss_network"] == "x"
        assert metadata["modelspec.architecture"] == "stable-diffusion-v1"


def test_prediction_types_and_their_reasons(files, tmp_path):
    _, _, file = files["sd-v2-v"]
    state = load_file(file)

    def inspected(tensors, metadata=None):
        save_file(tensors, tmp_path / "a.safetensors", metadata=metadata)
        facts = json.loads(run("inspect", tmp_path / "a.safetensors", "--json", "--quiet"))
        return facts["prediction_type"], facts["prediction_certain"]

    bias = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
    loud, quiet = torch.linspace(-1, 1, len(state[bias])), torch.zeros(len(state[bias]))
    assert inspected(state | {bias: loud}) == ("v_prediction", False)
    assert inspected(state | {bias: quiet}) == ("epsilon", False)
    assert inspected(state | {bias: loud, "global_step": torch.tensor(875000)}) == ("epsilon", True)
    assert inspected(state | {"v_pred": torch.tensor([])}) == ("v_prediction", True)
    assert inspected(state, {"modelspec.prediction_type": "v"}) == ("v_prediction", True)
    run("convert", tmp_path / "a.safetensors", "-o", f"{tmp_path / 'b'}/", "--prediction", "epsilon", "--quiet")
    scheduler = json.loads((tmp_path / "b" / "scheduler" / "scheduler_config.json").read_text())
    assert scheduler["prediction_type"] == "epsilon"

"""Single files: `from_single_file` loads those of decant, and decant reads those of diffusers and torch."""

import json
import shutil

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

from conftest import facts, run
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


WRAPPERS = {
    "data-parallel": torch.nn.DataParallel,
    "compiled": torch.compile,
    "compiled-data-parallel": lambda module: torch.compile(torch.nn.DataParallel(module)),
    "averaged": torch.optim.swa_utils.AveragedModel,
    "module-list": lambda module: torch.nn.ModuleDict({"student": module}),
}


@pytest.mark.parametrize("form", ["safetensors", "pickle", "nested pickle", "folder"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_components_below_wrappers_of_torch(files, tmp_path, wrapper, form):
    """The names that wrappers of torch give to a component's tensors are read as the component's own."""
    pipeline, folder, _ = files["sd-v1"]
    for name in ("unet", "vae", "text_encoder"):
        component = getattr(pipeline, name)
        state = {key: value.contiguous() for key, value in WRAPPERS[wrapper](component).state_dict().items()}
        path = tmp_path / name
        if form == "folder":
            shutil.copytree(folder / name, path)
            stem = "model" if name == "text_encoder" else "diffusion_pytorch_model"
            save_file(state, path / f"{stem}.safetensors", metadata={"format": "pt"})
        elif form == "safetensors":
            save_file(state, path)
        else:
            torch.save({"model": {"state_dict": state}} if form == "nested pickle" else state, path)
        part = "text-encoder" if name == "text_encoder" else name
        outputs = []
        for source in (folder / name, path):
            outputs.append(tmp_path / f"{name}-{len(outputs)}.safetensors")
            run("extract", source, "--component", part, "-o", outputs[-1], "--quiet")
        equal(load_file(outputs[1]), load_file(outputs[0]))
        changes = facts("inspect", path)["changes"]
        assert any(change["kind"] == "changed" for change in changes), changes


ATTENTIONS = {
    "ldm": ["norm", "q", "k", "v", "proj_out"],
    "old": ["group_norm", "query", "key", "value", "proj_attn"],
    "new": ["group_norm", "to_q", "to_k", "to_v", "to_out.0"],
    "twice": ["norm", "to_to_q", "to_to_k", "to_to_v", "to_out.0"],
}


@pytest.mark.parametrize("shape", ["matrix", "kernel", "vectors of rank 4"])
@pytest.mark.parametrize("naming", ATTENTIONS)
def test_every_naming_of_the_attention(files, tmp_path, naming, shape):
    """In single files and folders, with matrices as matrices or 1x1 convolutions."""
    pipeline, folder, file = files["sd-v1"]

    def renamed(state, names):
        out = {}
        for key, value in state.items():
            if ".attn_1." in key or ".attentions." in key:
                for old, new in zip(names, ATTENTIONS[naming]):
                    if f".{old}." in key:
                        key = key.replace(f".{old}.", f".{new}.")
                        break
                if value.ndim == 1:
                    value = value[None, :, None, None] if shape == "vectors of rank 4" else value
                else:
                    value = value.reshape(value.shape[:2] if shape == "matrix" else (*value.shape[:2], 1, 1))
            out[key] = value.contiguous()
        return out

    save_file(renamed(load_file(file), ATTENTIONS["ldm"]), tmp_path / "theirs.safetensors")
    shutil.copytree(folder, tmp_path / "theirs")
    weights = "vae/diffusion_pytorch_model.safetensors"
    save_file(renamed(load_file(folder / weights), ATTENTIONS["new"]), tmp_path / "theirs" / weights)
    for source in ("theirs.safetensors", "theirs"):
        run("convert", tmp_path / source, "-o", f"{tmp_path / 'out'}/", "--quiet", "--force")
        equal(load_file(tmp_path / "out" / weights), pipeline.vae.state_dict())


def test_full_clip_models_are_text_encoders(tmp_path):
    """A file of transformers' CLIPModel: the text encoder is read, the rest is listed."""
    from transformers import CLIPConfig, CLIPModel

    sizes = {"hidden_size": 768, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 12}
    text = {**sizes, "vocab_size": 99, "max_position_embeddings": 77}
    vision = {**sizes, "image_size": 32, "patch_size": 16}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=768))
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, tmp_path / "clip.safetensors")
    found = facts("inspect", tmp_path / "clip.safetensors")
    assert [part["name"] for part in found["components"]] == ["text_encoder"]
    left = {name for change in found["changes"] if change["kind"] == "left_out" for name in change["names"]}
    assert any(name.startswith("vision_model.") for name in left)
    run("extract", tmp_path / "clip.safetensors", "--component", "text-encoder", "-o", tmp_path / "t.safetensors", "--quiet")
    expected = {
        key: value for key, value in state.items()
        if key.startswith("text_model.") and not key.endswith("position_ids")
    }
    equal(load_file(tmp_path / "t.safetensors"), expected)

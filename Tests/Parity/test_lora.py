"""Compares LoRA merged by decant with diffusers' `load_lora_weights` and `fuse_lora`."""

import pytest
import torch
from diffusers import DiffusionPipeline
from peft import LoKrConfig, LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from diffusers.utils import convert_state_dict_to_diffusers, convert_state_dict_to_kohya
from safetensors.torch import load_file, save_file

from conftest import run
from measures import relative_rms
from random_models import make_family

MERGED = 1e-6  # float32 sums in a different order
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "conv1", "ff.net.2", "time_emb_proj"]


def trained(pipeline, rank=3, alpha=2):
    """LoRA of PEFT with random weights, on the U-Net and the text encoders."""
    parts = {"unet": TARGETS, "text_encoder": ["q_proj", "out_proj", "fc1"]}
    if getattr(pipeline, "text_encoder_2", None) is not None:
        parts["text_encoder_2"] = parts["text_encoder"]
    states = {}
    for name, targets in parts.items():
        model = getattr(pipeline, name)
        config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, init_lora_weights=False)
        model.add_adapter(config)
        state = convert_state_dict_to_diffusers(get_peft_model_state_dict(model))
        states |= {f"{name}.{key}": value.contiguous() for key, value in state.items()}
    return states, {key.rsplit(".lora", 1)[0]: alpha for key in states}


def compare(folder, fused, work, *arguments):
    run("convert", folder, "-o", f"{work / 'merged'}/", "--quiet", "--force", *arguments)
    for part, file in [
        ("unet", "diffusion_pytorch_model"), ("text_encoder", "model"), ("text_encoder_2", "model")
    ]:
        model = getattr(fused, part, None)
        if model is None:
            continue
        found = load_file(work / "merged" / part / f"{file}.safetensors")
        expected = {key: value for key, value in model.state_dict().items() if "lora" not in key}
        for key, value in expected.items():
            name = key.replace(".base_layer", "")
            name = name if name in found else f"text_model.{name}"
            assert relative_rms(found[name], value.detach()) <= MERGED, name


@pytest.mark.parametrize("family", ["sd-v1", "sd-v2-base", "sdxl"])
@pytest.mark.parametrize("scale", [1.0, 0.6, -0.5])
def test_diffusers_files(tmp_path, family, scale):
    pipeline = make_family(family, 3)
    pipeline.save_pretrained(tmp_path / "model")
    states, alphas = trained(pipeline)
    files = states | {f"{key}.alpha": torch.tensor(float(a)) for key, a in alphas.items()}
    save_file(files, tmp_path / "lora.safetensors")
    fused = DiffusionPipeline.from_pretrained(tmp_path / "model")
    for part in ["unet", "text_encoder", "text_encoder_2"]:
        model = getattr(pipeline, part, None)
        if model is not None:
            from peft.tuners.tuners_utils import BaseTunerLayer

            for module in model.modules():
                if isinstance(module, BaseTunerLayer):
                    module.set_scale("default", scale)
                    module.merge()
    compare(tmp_path / "model", pipeline, tmp_path, "--lora", f"{tmp_path / 'lora.safetensors'}:{scale}")
    del fused


@pytest.mark.parametrize("family", ["sd-v1", "sdxl"])
def test_kohya_files_equal_fuse_lora(tmp_path, family):
    """diffusers reads the same file: `load_lora_weights`, `fuse_lora`."""
    pipeline = make_family(family, 4)
    pipeline.save_pretrained(tmp_path / "model")
    states, _ = trained(pipeline)
    # Only the modules that every file of kohya has: attentions and feed-forwards.
    states = {key: value for key, value in states.items() if "attentions" in key or "text_encoder" in key}
    prefixes = {"unet": "lora_unet", "text_encoder": "lora_te1" if family == "sdxl" else "lora_te",
                "text_encoder_2": "lora_te2"}
    kohya = {}
    for key, value in states.items():
        part, rest = key.split(".", 1)
        if part.startswith("text_encoder") and not rest.startswith("text_model."):
            rest = f"text_model.{rest}"
        module, kind = rest.rsplit(".lora", 1)
        kind = {".down.weight": "lora_down", ".up.weight": "lora_up", "_A.weight": "lora_down",
                "_B.weight": "lora_up", "_linear_layer.down.weight": "lora_down",
                "_linear_layer.up.weight": "lora_up"}[kind]
        name = f"{prefixes[part]}_{module.replace('.', '_')}"
        kohya[f"{name}.{kind}.weight"] = value
        kohya[f"{name}.alpha"] = torch.tensor(2.0)
    save_file(kohya, tmp_path / "kohya.safetensors")
    fused = DiffusionPipeline.from_pretrained(tmp_path / "model")
    fused.load_lora_weights(str(tmp_path / "kohya.safetensors"))
    fused.fuse_lora(lora_scale=0.7)
    compare(tmp_path / "model", fused, tmp_path, "--lora", f"{tmp_path / 'kohya.safetensors'}:0.7")


def test_loha_by_its_formula(tmp_path):
    pipeline = make_family("sd-v1", 5)
    pipeline.save_pretrained(tmp_path / "model")
    name = "down_blocks.0.resnets.0.conv1"
    weight = pipeline.unet.state_dict()[f"{name}.weight"]
    out, columns = weight.shape[0], weight[0].numel()
    torch.manual_seed(1)
    parts = {"hada_w1_a": torch.randn(out, 2), "hada_w1_b": torch.randn(2, columns),
             "hada_w2_a": torch.randn(out, 2), "hada_w2_b": torch.randn(2, columns)}
    key = "lora_unet_" + name.replace(".", "_")
    save_file({f"{key}.{part}": value for part, value in parts.items()} | {f"{key}.alpha": torch.tensor(1.0)},
              tmp_path / "loha.safetensors")
    delta = (parts["hada_w1_a"] @ parts["hada_w1_b"]) * (parts["hada_w2_a"] @ parts["hada_w2_b"]) * 0.5
    run("convert", tmp_path / "model", "-o", tmp_path / "merged.safetensors", "--quiet",
        "--lora", f"{tmp_path / 'loha.safetensors'}:0.3")
    found = load_file(tmp_path / "merged.safetensors")["model.diffusion_model.input_blocks.1.0.in_layers.2.weight"]
    assert relative_rms(found, weight + 0.3 * delta.reshape(weight.shape)) <= MERGED


SETTINGS = [
    dict(lora_alpha=11),
    dict(lora_alpha=7, use_rslora=True),
    dict(lora_alpha=5, rank_pattern={"to_k": 3}, alpha_pattern={"attn1.to_q": 17, "to_out.0": 1}),
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_settings_in_the_header_of_diffusers_files(tmp_path, settings):
    """Only the metadata of the file holds alpha."""
    pipeline = make_family("sd-v1", 6)
    pipeline.save_pretrained(tmp_path / "model")
    config = LoraConfig(
        r=4, target_modules=["to_q", "to_k", "to_out.0"], init_lora_weights=False, **settings)
    pipeline.unet.add_adapter(config)
    type(pipeline).save_lora_weights(
        str(tmp_path / "lora"), get_peft_model_state_dict(pipeline.unet),
        unet_lora_adapter_metadata=pipeline.unet.peft_config["default"].to_dict())
    fused = DiffusionPipeline.from_pretrained(tmp_path / "model")
    fused.load_lora_weights(str(tmp_path / "lora"))
    fused.fuse_lora()
    compare(tmp_path / "model", fused, tmp_path, "--lora",
            str(tmp_path / "lora" / "pytorch_lora_weights.safetensors"))


@pytest.mark.parametrize("settings", SETTINGS)
def test_settings_beside_peft_files(tmp_path, settings):
    """Only adapter_config.json holds alpha."""
    pipeline = make_family("sd-v1", 7)
    pipeline.save_pretrained(tmp_path / "model")
    config = LoraConfig(
        r=4, target_modules=["to_q", "to_k", "to_out.0"], init_lora_weights=False, **settings)
    model = get_peft_model(pipeline.unet, config)
    model.save_pretrained(tmp_path / "lora")
    pipeline.unet = model.merge_and_unload()
    compare(tmp_path / "model", pipeline, tmp_path, "--lora",
            str(tmp_path / "lora" / "adapter_model.safetensors"))


def test_peft_folder_with_biases(tmp_path):
    """`lora_bias` merges as in `merge_and_unload`. The argument is the folder, not the file."""
    pipeline = make_family("sd-v1", 8)
    pipeline.save_pretrained(tmp_path / "model")
    config = LoraConfig(
        r=4, lora_alpha=7, target_modules=["to_out.0", "ff.net.2", "time_emb_proj"], lora_bias=True,
        init_lora_weights=False)
    model = get_peft_model(pipeline.unet, config)
    model.save_pretrained(tmp_path / "lora")
    assert any("lora_B.bias" in key for key in load_file(tmp_path / "lora" / "adapter_model.safetensors"))
    pipeline.unet = model.merge_and_unload()
    compare(tmp_path / "model", pipeline, tmp_path, "--lora", tmp_path / "lora")


LAYERS = ["to_q", "to_out.0", "ff.net.2", "proj_in", "conv1", "time_emb_proj"]


def test_dora_of_peft(tmp_path):
    """`use_dora`: matrices and convolutions, with magnitudes that are not the weights' own norms."""
    pipeline = make_family("sd-v1", 9)
    pipeline.save_pretrained(tmp_path / "model")
    config = LoraConfig(r=4, lora_alpha=7, target_modules=LAYERS, use_dora=True, init_lora_weights=False)
    model = get_peft_model(pipeline.unet, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_magnitude_vector" in name:
                parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path / "lora")
    assert any("magnitude" in key for key in load_file(tmp_path / "lora" / "adapter_model.safetensors"))
    pipeline.unet = model.merge_and_unload()
    compare(tmp_path / "model", pipeline, tmp_path, "--lora", tmp_path / "lora")


@pytest.mark.parametrize("options", [
    dict(r=3), dict(r=3, decompose_both=True, decompose_factor=8), dict(r=32),
    dict(r=3, decompose_factor=2, use_effective_conv2d=True),
    dict(r=2, rank_pattern={"to_q": 32}, alpha_pattern={"conv1": 5}),
])
def test_lokr_of_peft(tmp_path, options):
    """PEFT scales by alpha / r also where both factors are whole."""
    pipeline = make_family("sd-v1", 10)
    pipeline.save_pretrained(tmp_path / "model")
    config = LoKrConfig(alpha=7, target_modules=LAYERS, init_weights=False, **options)
    model = get_peft_model(pipeline.unet, config)
    model.save_pretrained(tmp_path / "lora")
    pipeline.unet = model.merge_and_unload()
    compare(tmp_path / "model", pipeline, tmp_path, "--lora", tmp_path / "lora")


FORMS = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "module": lambda state: {"module": state},
    "model": lambda state: {"model": state},
    "compiled": lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
    "distributed": lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
}


@pytest.mark.parametrize("form", FORMS)
def test_pickles_of_trainers(tmp_path, form):
    """The dictionaries that `torch.save` gets; every one is the same adapter."""
    pipeline = make_family("sd-v1", 13)
    pipeline.save_pretrained(tmp_path / "model")
    states, _ = trained(pipeline)
    torch.save(FORMS[form](states), tmp_path / "adapter.pt")
    save_file(states, tmp_path / "adapter.safetensors")
    for name in ["adapter.pt", "adapter.safetensors"]:
        run("convert", tmp_path / "model", "-o", f"{tmp_path / name}-merged/", "--quiet",
            "--lora", tmp_path / name)
    files = [tmp_path / f"{name}-merged" / "unet" / "diffusion_pytorch_model.safetensors"
             for name in ["adapter.pt", "adapter.safetensors"]]
    assert files[0].read_bytes() == files[1].read_bytes()
    original = tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    assert not torch.allclose(load_file(files[0])[name], load_file(original)[name], atol=1e-3)

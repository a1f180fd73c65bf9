"""Compares adapters merged by decant with LyCORIS's modules, as they compute while they train."""

import pytest
import torch
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule
from safetensors.torch import load_file, save_file

from conftest import run
from measures import relative_rms
from random_models import make_family

MERGED = 1e-6  # float32 sums in a different order; LyCORIS adds float32's epsilon to norms

ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0"
LAYERS = [
    f"{ATTENTION}.attn1.to_q",
    f"{ATTENTION}.ff.net.0.proj",
    "down_blocks.0.attentions.0.proj_in",
    "down_blocks.0.resnets.0.conv1",
    "down_blocks.1.resnets.0.conv1",
]

KINDS = {
    "lora": (LoConModule, {}),
    "lora-tucker": (LoConModule, dict(use_tucker=True)),
    "loha": (LohaModule, {}),
    "loha-tucker": (LohaModule, dict(use_tucker=True)),
    "lokr": (LokrModule, dict(factor=4)),
    "lokr-automatic": (LokrModule, {}),
    "lokr-whole": (LokrModule, dict(factor=4, full_matrix=True)),
    "lokr-both": (LokrModule, dict(factor=8, decompose_both=True, lora_dim=2)),
    "lokr-tucker": (LokrModule, dict(factor=2, use_tucker=True)),
    "lokr-unbalanced": (LokrModule, dict(factor=4, unbalanced_factorization=True)),
    # Not with whole factors: LyCORIS multiplies them by the root of the rank, and reads them without.
    "lokr-rs": (LokrModule, dict(factor=2, rs_lora=True)),
}


def randomized(module):
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "org_module" in name:
                continue
            if name == "dora_scale":
                parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
            else:
                parameter.copy_(0.3 * torch.randn_like(parameter))
    return module


def effective(module, weight):
    """The weight that the module's forward computes with."""
    with torch.no_grad():
        if hasattr(module, "get_weight"):
            change = module.get_weight(module.shape)
        else:
            change = module.get_diff_weight()[0].reshape(weight.shape)
        merged = weight + change.reshape(weight.shape)
        return module.apply_weight_decompose(merged) if getattr(module, "wd", False) else merged


@pytest.mark.parametrize("decomposition", ["none", "outputs", "inputs"])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds(tmp_path, kind, decomposition):
    torch.manual_seed(3)
    pipeline = make_family("sd-v1", 11)
    pipeline.save_pretrained(tmp_path / "model")
    constructor, options = KINDS[kind]
    options = dict(lora_dim=3, alpha=2.0) | options
    if decomposition != "none":
        options |= dict(weight_decompose=True, wd_on_out=decomposition == "outputs")
    file, expected = {}, {}
    for name in LAYERS:
        layer = pipeline.unet.get_submodule(name)
        key = "lora_unet_" + name.replace(".", "_")
        module = randomized(constructor(key, layer, **options))
        for part, value in module.custom_state_dict().items():
            file[f"{key}.{part}"] = value.detach().clone().contiguous()
        expected[name] = effective(module, layer.weight.detach())
    # The options have the forms of tensors that they are for.
    forms = {"lora-tucker": "lora_mid.weight", "loha-tucker": "hada_t1", "lokr-both": "lokr_w1_a",
             "lokr-tucker": "lokr_t2", "lokr-whole": "lokr_w2"}
    assert any(key.endswith("." + forms.get(kind, "alpha")) for key in file)
    assert any(key.endswith(".dora_scale") for key in file) == (decomposition != "none")
    save_file(file, tmp_path / "adapter.safetensors")
    run("convert", tmp_path / "model", "-o", f"{tmp_path / 'merged'}/", "--quiet",
        "--lora", tmp_path / "adapter.safetensors")
    found = load_file(tmp_path / "merged" / "unet" / "diffusion_pytorch_model.safetensors")
    for name, weight in expected.items():
        assert relative_rms(found[f"{name}.weight"], weight) <= MERGED, name


def test_norms(tmp_path):
    """`train_norm`: differences of the weights and biases of norms."""
    torch.manual_seed(4)
    pipeline = make_family("sd-v1", 12)
    pipeline.save_pretrained(tmp_path / "model")
    file, expected = {}, {}
    for name in ["down_blocks.0.resnets.0.norm1", f"{ATTENTION}.norm2"]:
        key = "lora_unet_" + name.replace(".", "_")
        module = randomized(NormModule(key, pipeline.unet.get_submodule(name)))
        file |= {f"{key}.{part}": value.clone() for part, value in module.state_dict().items()}
        with torch.no_grad():
            expected[f"{name}.weight"], expected[f"{name}.bias"] = module.make_weight()
    assert {key.rsplit(".", 1)[1] for key in file} == {"w_norm", "b_norm"}
    save_file(file, tmp_path / "adapter.safetensors")
    run("convert", tmp_path / "model", "-o", f"{tmp_path / 'merged'}/", "--quiet",
        "--lora", tmp_path / "adapter.safetensors")
    found = load_file(tmp_path / "merged" / "unet" / "diffusion_pytorch_model.safetensors")
    for name, weight in expected.items():
        assert relative_rms(found[name], weight) <= MERGED, name

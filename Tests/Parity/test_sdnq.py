"""Folders in SDNQ, the quantization back end for diffusers: those that Decant writes, and those that SDNQ writes."""

import shutil

import pytest
import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from sdnq import SDNQConfig  # registers the method with diffusers
from sdnq.dequantizer import dequantize_sdnq_model
from transformers import CLIPTextModel

from conftest import FIXTURES, run
from measures import COMPONENT, relative_rms
from test_forward import forward


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdnq") / "int8"
    run("quantize", FIXTURES / "mini-sd", "-o", f"{folder}/", "--type", "int8", "--for", "sdnq", "--quiet")
    return folder


def check(unet, folder, tmp_path):
    """Compares SDNQ's output with Decant's, from the folder and from a .decant file that was made of it."""
    torch.manual_seed(3)
    inputs = dict(
        sample=torch.randn(2, 4, 8, 8),
        timestep=torch.tensor([981, 21]),
        encoder_hidden_states=torch.randn(2, 77, unet.config.cross_attention_dim),
    )
    expected = unet(**inputs).sample
    found = forward(folder, "unet", inputs, tmp_path)["sample"]
    assert relative_rms(found, expected) <= COMPONENT
    # The same codes as in a .decant file.
    run("convert", folder, "-o", tmp_path / "again.decant", "--quiet")
    assert torch.equal(forward(tmp_path / "again.decant", "unet", inputs, tmp_path)["sample"], found)


@torch.no_grad()
def test_loads_as_int8_and_gives_the_same_numbers(folder, tmp_path):
    unet = DiffusionPipeline.from_pretrained(folder).unet
    int8 = [m for m in unet.modules() if getattr(getattr(m, "weight", None), "dtype", None) == torch.int8]
    kinds = {type(module).__name__ for module in int8}
    assert {"SDNQConv2d", "SDNQLinear"} <= kinds
    assert unet.conv_in.weight.dtype == unet.conv_out.weight.dtype == torch.float32
    check(unet, folder, tmp_path)


@pytest.mark.parametrize("options", [["--type", "int4"], ["--type", "int8-g32"], ["--type", "int8", "--assign", "*.attn2.*=int4"]])
@torch.no_grad()
def test_groups_give_the_same_numbers(tmp_path, options):
    folder = tmp_path / "groups"
    run("quantize", FIXTURES / "mini-sd", "-o", f"{folder}/", *options, "--for", "sdnq", "--quiet")
    unet = DiffusionPipeline.from_pretrained(folder).unet
    dtypes = {name: module.weight.dtype for name, module in unet.named_modules()
              if getattr(module, "weight", None) is not None}
    packed = [name for name, dtype in dtypes.items() if dtype == torch.uint8]
    assert bool(packed) == ("int8-g32" not in options)
    # Kernels of 3x3 weights are int8 with a scale for each output channel.
    assert dtypes["down_blocks.0.resnets.1.conv1"] == torch.int8
    check(unet, folder, tmp_path)


def test_resident_weights_are_int8(folder):
    unet = DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float16).unet
    size = sum(p.numel() * p.element_size() for p in unet.parameters())
    count = sum(p.numel() for p in unet.parameters())
    assert size < 1.2 * count


@torch.no_grad()
def test_text_encoders_load_as_int8(tmp_path):
    folder = tmp_path / "int8"
    run("quantize", FIXTURES / "mini-sd", "-o", f"{folder}/", "--type", "int8", "--text-encoder-type", "int8",
        "--for", "sdnq", "--quiet")
    encoder = DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32).text_encoder
    int8 = [m for m in encoder.modules() if getattr(getattr(m, "weight", None), "dtype", None) == torch.int8]
    assert {type(module).__name__ for module in int8} == {"SDNQLinear"}
    assert len(int8) == 6 * encoder.config.num_hidden_layers
    ids = torch.tensor([[623, 17, 301, 42, 5, 624]])
    found = forward(folder, "text-encoder", dict(input_ids=ids), tmp_path)["last_hidden_state"]
    assert relative_rms(found, encoder(ids).last_hidden_state) <= COMPONENT


def quantized(model_class, component, tmp_path, **options):
    """Quantizes a component with SDNQ as its users do; returns the folder of the whole model."""
    folder = tmp_path / "sdnq"
    shutil.copytree(FIXTURES / "mini-sd", folder)
    config = SDNQConfig(minimum_allowed_numel=1, minimum_allowed_channel_size=16, **options)
    model = model_class.from_pretrained(
        FIXTURES / "mini-sd" / component, quantization_config=config, torch_dtype=torch.float16)
    shutil.rmtree(folder / component)
    model.save_pretrained(folder / component)
    return folder


def check_weights(model_class, component, folder, tmp_path, tolerance=0.0):
    """Compares the weights that Decant reads, which are at least float16, with those that SDNQ dequantizes."""
    run("convert", folder, "-o", f"{tmp_path / 'plain'}/", "--type", "f32", "--quiet")
    found = {}
    for file in (tmp_path / "plain" / component).glob("*.safetensors"):
        found |= load_file(file)
    model = dequantize_sdnq_model(model_class.from_pretrained(folder / component, torch_dtype=torch.float32))
    expected = {name: value.float() for name, value in model.state_dict().items()}
    plain = {name.removeprefix("text_model."): value for name, value in found.items()}
    expected = {name.removeprefix("text_model."): value for name, value in expected.items()}
    assert set(plain) == set(expected)
    for name, value in expected.items():
        same = torch.equal(plain[name], value) or torch.equal(plain[name], value.half().float())
        if not same:
            assert tolerance > 0, name
            assert (plain[name] - value).abs().max() <= tolerance * value.abs().max(), name


@pytest.mark.parametrize("options", [
    {},
    {"weights_dtype": "int8", "quant_conv": True},
    {"weights_dtype": "int5", "quant_conv": True},
    {"weights_dtype": "uint3", "quant_conv": True},
    {"weights_dtype": "uint4", "group_size": 16},
    {"weights_dtype": "int7", "quant_conv": True, "group_size": 8},
    {"weights_dtype": "float8_e4m3fn", "quant_conv": True},
    {"weights_dtype": "float8_e5m2"},
    {"weights_dtype": "fp4", "quant_conv": True},
    {"weights_dtype": "int8", "group_size": -2},
    {"weights_dtype": "uint4", "use_codebook": True},
    {"weights_dtype": "uint3", "use_dynamic_quantization": True},
    {"weights_dtype": "int4", "group_size": 16, "dequantize_fp32": False},
])
def test_weights_are_those_of_sdnq(tmp_path, options):
    folder = quantized(UNet2DConditionModel, "unet", tmp_path, **options)
    check_weights(UNet2DConditionModel, "unet", folder, tmp_path)


@pytest.mark.parametrize("options", [
    {"weights_dtype": "uint4", "use_svd": True, "svd_rank": 8, "quant_conv": True},
    {"weights_dtype": "int4", "use_hadamard": True, "quant_conv": True},
    {"weights_dtype": "uint4", "use_hadamard": True, "hadamard_group_size": 32},
])
def test_sums_are_those_of_sdnq(tmp_path, options):
    """Sums in another order may round to the next float16."""
    folder = quantized(UNet2DConditionModel, "unet", tmp_path, **options)
    check_weights(UNet2DConditionModel, "unet", folder, tmp_path, tolerance=2**-10)


def test_text_encoders_are_those_of_sdnq(tmp_path):
    folder = quantized(CLIPTextModel, "text_encoder", tmp_path, weights_dtype="uint4")
    check_weights(CLIPTextModel, "text_encoder", folder, tmp_path)


@pytest.mark.parametrize("options,found", [
    ({"weights_dtype": "int9"}, "'weights_dtype' 'int9'"),
    ({"weights_dtype": "int8", "scale_dtype": "int8"}, "quantized scales ("),
    ({"weights_dtype": "uint4", "group_size": -2}, "'group_size' -2"),
    ({"weights_dtype": "int8", "use_quantized_matmul": True}, "'use_quantized_matmul'"),
])
def test_other_options_are_named(tmp_path, options, found):
    folder = quantized(UNet2DConditionModel, "unet", tmp_path, **options)
    said = run("convert", folder, "-o", tmp_path / "a.decant", "--quiet", code=2)
    assert f"the weights are quantized by 'sdnq' with {found}" in said
    assert said.strip().endswith("use the float16 or float32 model that it was made from")

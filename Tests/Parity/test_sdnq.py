"""int8 and int4 folders in SDNQ, the quantization back end for diffusers: linear layers and convolutions."""

import pytest
import torch
from diffusers import DiffusionPipeline

from conftest import FIXTURES, run
from measures import COMPONENT, relative_rms
from test_forward import forward

import sdnq  # noqa: F401  registers the method with diffusers


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

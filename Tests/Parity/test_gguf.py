"""Compares GGUF files with the `gguf` package: it reads files of decant, and decant reads all its types."""

import json

import gguf
import numpy as np
import pytest
import torch
from diffusers import GGUFQuantizationConfig, UNet2DConditionModel
from diffusers.quantizers.gguf.utils import GGUFLinear
from gguf import GGMLQuantizationType as T
from gguf.quants import dequantize, quantize
from safetensors.torch import load_file, save_file

from conftest import FIXTURES, run
from measures import relative_rms
from random_models import CROSS, FAMILIES, PLAIN, SHAPES, make_family, make_pipeline
from test_forward import forward

MINI = FIXTURES / "mini-sd"
TYPES = [T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1]
K_TYPES = [T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K, T.Q6_K]
PREFIX = "model.diffusion_model."


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A single file of the miniature model: names and numbers for GGUF files."""
    path = tmp_path_factory.mktemp("gguf") / "mini.safetensors"
    run("convert", MINI, "-o", path, "--type", "f32", "--quiet")
    return path


def tensors(path):
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def values(tensor):
    return dequantize(tensor.data, tensor.tensor_type).reshape([int(n) for n in tensor.shape[::-1]])


@pytest.mark.parametrize("type", ["f32", "f16", "bf16"])
def test_sdcpp_files_equal_the_folder(tmp_path, checkpoint, type):
    run("convert", MINI, "-o", tmp_path / "a.gguf", "--type", type, "--quiet")
    found, expected = tensors(tmp_path / "a.gguf"), load_file(checkpoint)
    assert set(found) == set(expected)
    kind = {"f32": T.F32, "f16": T.F16, "bf16": T.BF16}[type]
    for name, tensor in found.items():
        assert tensor.tensor_type == kind
        value = expected[name].to(dict(f32=torch.float32, f16=torch.float16, bf16=torch.bfloat16)[type])
        assert np.array_equal(values(tensor), value.float().numpy()), name
    fields = gguf.GGUFReader(tmp_path / "a.gguf").fields
    assert fields["general.architecture"].contents() == "sd1"
    assert json.loads(fields["decant.config"].contents())["components"]["unet"]["class"] == "UNet2DConditionModel"


@pytest.mark.parametrize("type,kind", [
    ("int8", T.Q8_0), ("q8_0", T.Q8_0), ("int4-g32", T.Q4_0), ("q4_0", T.Q4_0), ("Q5_0", T.Q5_0), ("Q4_K_M", T.Q4_K),
    ("q5_k", T.Q5_K), ("q6_k", T.Q6_K)])
def test_quantized_sdcpp_files(tmp_path, checkpoint, type, kind):
    run("quantize", MINI, "-o", tmp_path / "a.gguf", "--type", type, "--quiet")
    run("convert", tmp_path / "a.gguf", "-o", f"{tmp_path / 'b'}/", "--type", "f32", "--quiet")
    found = tensors(tmp_path / "a.gguf")
    quantized = {name: t for name, t in found.items() if t.tensor_type not in (T.F32, T.F16)}
    assert len(quantized) > 100 and kind in {t.tensor_type for t in quantized.values()}
    assert all(len(t.shape) == 2 for t in quantized.values())  # stable-diffusion.cpp takes no quantized convolutions
    # decant reads the same numbers as the gguf package dequantizes, bit for bit.
    run("convert", tmp_path / "b", "-o", tmp_path / "c.safetensors", "--quiet")
    again = load_file(tmp_path / "c.safetensors")
    for name, tensor in found.items():
        assert np.array_equal(values(tensor), again[name].numpy()), name


def test_comfyui_files_have_quantized_convolutions(tmp_path):
    pipeline = make_family("sd-v1")
    # Wide enough for rows of 32 weights.
    run("quantize", MINI, "-o", tmp_path / "a.gguf", "--type", "int8", "--for", "comfyui", "--quiet")
    found = tensors(tmp_path / "a.gguf")
    fields = gguf.GGUFReader(tmp_path / "a.gguf").fields
    assert fields["general.architecture"].contents() == "sd1"
    shaped = [name for name in fields if name.startswith("comfy.gguf.orig_shape.")]
    assert len(shaped) > 40
    assert all(not name.startswith(PREFIX) for name in found)
    run("convert", tmp_path / "a.gguf", "-o", tmp_path / "b.safetensors", "--type", "f32", "--quiet")
    again = load_file(tmp_path / "b.safetensors")
    for name, tensor in found.items():
        value = values(tensor)
        key = f"comfy.gguf.orig_shape.{name}"
        if key in fields:
            assert tensor.tensor_type == T.Q8_0 and value.shape[1] == 256
            value = value.reshape(fields[key].contents())
        assert np.array_equal(value, again[PREFIX + name].numpy()), name
        assert len(tensor.shape) > 1 or tensor.tensor_type == T.F32
    del pipeline


@pytest.mark.parametrize("type,kind,fallback,most", [
    ("Q4_K", T.Q4_K, T.Q5_0, 0.09), ("q5_k", T.Q5_K, T.Q5_0, 0.05), ("q6_k", T.Q6_K, T.Q8_0, 0.03)])
def test_k_quants_of_rows_of_256(tmp_path, monkeypatch, type, kind, fallback, most):
    """Rows of 256, 768 and 1024 weights, and others, which get another type."""
    monkeypatch.setitem(SHAPES, "wide", dict(channels=(96, 256), down=(PLAIN, CROSS), layers_per_block=1))
    make_pipeline("wide", 3).save_pretrained(tmp_path / "model")
    run("quantize", tmp_path / "model", "-o", tmp_path / "a.gguf", "--type", type, "--for", "comfyui", "--quiet")
    run("convert", tmp_path / "model", "-o", tmp_path / "before.safetensors", "--type", "f32", "--quiet")
    run("convert", tmp_path / "a.gguf", "-o", tmp_path / "b.safetensors", "--type", "f32", "--quiet")
    before, again = load_file(tmp_path / "before.safetensors"), load_file(tmp_path / "b.safetensors")
    found = tensors(tmp_path / "a.gguf")
    kinds = [tensor.tensor_type for tensor in found.values()]
    assert kinds.count(kind) >= 10 and kinds.count(fallback) >= 2
    for name, tensor in found.items():
        value, expected = values(tensor), before[PREFIX + name]
        assert np.array_equal(value.reshape(expected.shape), again[PREFIX + name].numpy()), name
        if tensor.tensor_type == kind:
            assert relative_rms(torch.from_numpy(value.reshape(expected.shape)), expected) <= most, name


def write(path, arch, weights, kind, shapes=None):
    writer = gguf.GGUFWriter(path, arch)
    expected = {}
    for name, value in weights.items():
        array = value.float().numpy()
        if shapes is not None and array.ndim > 1 and array.size % 256 == 0:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", [int(n) for n in array.shape])
            array = array.reshape(-1, 256)
        block = gguf.GGML_QUANT_SIZES[kind][0]
        if array.ndim > 1 and array.shape[-1] % block == 0 and kind not in (T.F32,):
            if kind in K_TYPES:
                size = gguf.GGML_QUANT_SIZES[kind][1]
                rng = np.random.default_rng(len(expected))
                data = rng.integers(0, 256, (*array.shape[:-1], array.shape[-1] // block * size), dtype=np.uint8)
                # The float16 scales of each block get small exponents, so that they are finite.
                halves = {T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}[kind]
                blocks = data.reshape(-1, size)
                for at in halves:
                    blocks[:, at + 1] = blocks[:, at + 1] % 64
            else:
                data = quantize(array, kind)
            writer.add_tensor(name, data, raw_dtype=kind)
            expected[name] = dequantize(data, kind).reshape(value.shape)
        else:
            writer.add_tensor(name, array)
            expected[name] = value.float().numpy()
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_every_type_is_read(tmp_path, checkpoint, kind):
    expected = write(tmp_path / "a.gguf", "sd1", load_file(checkpoint), kind)
    run("convert", tmp_path / "a.gguf", "-o", tmp_path / "b.safetensors", "--type", "f32", "--quiet")
    found = load_file(tmp_path / "b.safetensors")
    for name, value in expected.items():
        assert np.array_equal(found[name].numpy(), value), name


@pytest.mark.parametrize("kind", K_TYPES + [T.Q8_0, T.Q5_1], ids=lambda kind: kind.name)
def test_every_type_is_read_in_rows_of_256(tmp_path, checkpoint, kind):
    """A U-Net as ComfyUI-GGUF stores it: no prefix, flattened convolutions."""
    weights = {
        name.removeprefix(PREFIX): value for name, value in load_file(checkpoint).items() if name.startswith(PREFIX)
    }
    expected = write(tmp_path / "a.gguf", "sd1", weights, kind, shapes=True)
    run("convert", tmp_path / "a.gguf", "-o", tmp_path / "b.safetensors", "--type", "f32", "--quiet")
    found = load_file(tmp_path / "b.safetensors")
    for name, value in expected.items():
        assert np.array_equal(found[PREFIX + name].numpy(), value), name


def test_a_unet_is_completed_by_other_files(tmp_path, checkpoint):
    run("convert", MINI, "-o", tmp_path / "unet.gguf", "--for", "comfyui", "--quiet")
    run("convert", tmp_path / "unet.gguf", "-o", f"{tmp_path / 'whole'}/", "--vae", checkpoint,
        "--text-encoder", MINI, "--type", "f32", "--quiet")
    run("convert", MINI, "-o", f"{tmp_path / 'mini'}/", "--type", "f32", "--quiet")
    for part in ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"]:
        found, expected = (load_file(tmp_path / name / f"{part}.safetensors") for name in ("whole", "mini"))
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert torch.equal(found[name], value), name


@pytest.mark.parametrize("family,program", [
    ("koala-700m", "sdcpp"), ("refiner", "sdcpp"), ("lcm", "sdcpp"), ("ssd-1b", "comfyui")])
def test_models_that_a_program_cannot_load_are_refused(tmp_path, family, program):
    make_family(family).save_pretrained(tmp_path / "model")
    said = run("convert", tmp_path / "model", "-o", tmp_path / "a.gguf", "--for", program, code=2)
    assert "cannot load" in said
    assert not (tmp_path / "a.gguf").exists()


@pytest.mark.parametrize("type", ["int8", "int4"])
@pytest.mark.parametrize("family", [name for name in FAMILIES if not name.startswith("lcm")])
@torch.no_grad()
def test_diffusers_computes_the_same_from_its_files(tmp_path, family, type):
    make_family(family).save_pretrained(tmp_path / "model")
    path = tmp_path / "a.gguf"
    run("quantize", tmp_path / "model", "-o", path, "--type", type, "--for", "diffusers", "--quiet")
    unet = UNet2DConditionModel.from_single_file(
        str(path), config=str(tmp_path / "model"), subfolder="unet",
        quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32))
    assert any(isinstance(module, GGUFLinear) for module in unet.modules())
    assert all(tensor.itemsize > 1 for tensor in unet.state_dict().values() if tensor.ndim == 4)
    torch.manual_seed(7)
    inputs = dict(
        sample=torch.randn(2, unet.config.in_channels, 8, 8), timestep=torch.tensor([981, 21]),
        encoder_hidden_states=torch.randn(2, 77, unet.config.cross_attention_dim))
    extra = {}
    if unet.config.addition_embed_type:
        numbers = 5 if family == "refiner" else 6
        width = unet.add_embedding.linear_1.in_features - numbers * unet.config.addition_time_embed_dim
        extra = dict(text_embeds=torch.randn(2, width), time_ids=torch.randint(0, 99, (2, numbers)).float())
    found = forward(path, "unet", inputs | extra, tmp_path)["sample"]
    expected = unet(**inputs, added_cond_kwargs=extra or None).sample
    # diffusers rounds the weights of quantized layers to float16 before it multiplies.
    assert relative_rms(found, expected) <= 1e-3


@pytest.mark.parametrize("program", ["sdcpp", "comfyui"])
def test_float64_weights_are_written(tmp_path, program):
    """float64 tensors stay float64 where the program reads it, else they become float32."""
    run("convert", MINI, "-o", f"{tmp_path / 'wide'}/", "--type", "f32", "--quiet")
    path = tmp_path / "wide" / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    save_file({name: value.double() for name, value in weights.items()}, path)
    run("convert", tmp_path / "wide", "-o", tmp_path / "a.gguf", "--for", program, "--quiet")
    found = {name: t for name, t in tensors(tmp_path / "a.gguf").items() if "first_stage" not in name and "cond" not in name}
    assert len(found) == len(weights)
    assert {t.tensor_type for t in found.values()} == {T.F64 if program == "sdcpp" else T.F32}
    # gguf returns plain kinds unchanged.
    stored = {tuple(np.asarray(t.data).ravel()[:5].tolist()) for t in found.values()}
    assert stored == {tuple(value.ravel()[:5].tolist()) for value in weights.values()}

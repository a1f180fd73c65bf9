"""ComfyUI's native single files, read with comfy-kitchen, which ComfyUI computes with."""

import json
import shutil

import comfy_kitchen
import pytest
import torch
from comfy_kitchen.tensor import TensorWiseINT8Layout
from gguf import GGUFReader
from safetensors.torch import load_file, save_file

from conftest import FIXTURES, run

MINI = FIXTURES / "mini-sdxl"
PREFIX = "model.diffusion_model."


def dequantized(tensors, layer):
    """A layer's weight in float32, as ComfyUI dequantizes it."""
    codes, scale = tensors[layer + ".weight"], tensors[layer + ".weight_scale"]
    form = json.loads(tensors[layer + ".comfy_quant"].numpy().tobytes())
    assert scale.dtype == torch.float32
    if form["format"] == "float8_e4m3fn":
        assert codes.dtype == torch.float8_e4m3fn and scale.shape == ()
        return comfy_kitchen.dequantize_per_tensor_fp8(codes, scale, torch.float32)
    assert form["format"] == "int8_tensorwise" and codes.dtype == torch.int8
    assert scale.shape == (codes.shape[0], 1)
    rotated = form.get("convrot", False)
    parameters = TensorWiseINT8Layout.Params(
        scale=scale, orig_dtype=torch.float32, orig_shape=tuple(codes.shape), convrot=rotated,
        convrot_groupsize=form["convrot_groupsize"] if rotated else 256)
    return TensorWiseINT8Layout.dequantize(codes, parameters)


@pytest.mark.parametrize("type", ["int8", "fp8", "int8-convrot"])
def test_every_layer_has_the_values_of_decant(tmp_path, type):
    for name, options in [("a.safetensors", ["--for", "comfyui"]), ("a.decant", [])]:
        run("quantize", MINI, "-o", tmp_path / name, "--type", type, *options, "--quiet")
    for source, name in [("a.safetensors", "read"), ("a.decant", "own")]:
        run("convert", tmp_path / source, "-o", tmp_path / f"{name}.safetensors", "--type", "f32", "--quiet")
    native, read, own = (load_file(tmp_path / f"{name}.safetensors") for name in ("a", "read", "own"))
    layers = [name.removesuffix(".comfy_quant") for name in native if name.endswith(".comfy_quant")]
    assert len(layers) > 50 and all(layer.startswith(PREFIX) for layer in layers)
    for layer in layers:
        found = dequantized(native, layer)
        for values in (read, own):
            expected = values[layer + ".weight"]
            if type == "int8-convrot":
                # comfy-kitchen multiplies by the matrix, and sums in another order.
                assert (found - expected).abs().max() <= 1e-5 * expected.abs().max(), layer
            else:
                assert torch.equal(found, expected), layer
    # Every other tensor is plain, convolutions among them.
    plain = {name: value for name, value in native.items() if name.rsplit(".", 1)[0] not in layers}
    assert all(value.is_floating_point() and value.itemsize > 1 for value in plain.values())
    assert any(value.ndim == 4 and name.startswith(PREFIX) for name, value in plain.items())
    assert set(read) == {name for name in native if not name.endswith((".comfy_quant", ".weight_scale"))}


@pytest.mark.parametrize("type", ["int8", "fp8", "int8-convrot"])
def test_codes_come_back(tmp_path, type):
    run("quantize", MINI, "-o", tmp_path / "a.safetensors", "--type", type, "--for", "comfyui", "--quiet")
    run("convert", tmp_path / "a.safetensors", "-o", tmp_path / "b.decant", "--quiet")
    run("convert", tmp_path / "b.decant", "-o", tmp_path / "c.safetensors", "--for", "comfyui", "--quiet")
    found, expected = load_file(tmp_path / "c.safetensors"), load_file(tmp_path / "a.safetensors")
    assert set(found) == set(expected)
    for name, value in expected.items():
        as_bytes = (tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (found[name], value))
        assert found[name].dtype == value.dtype and torch.equal(*as_bytes), name


def test_float8_codes_are_those_of_torch(tmp_path):
    run("quantize", MINI, "-o", tmp_path / "a.safetensors", "--type", "fp8", "--for", "comfyui", "--quiet")
    run("convert", MINI, "-o", tmp_path / "b.safetensors", "--type", "f32", "--quiet")
    native, original = load_file(tmp_path / "a.safetensors"), load_file(tmp_path / "b.safetensors")
    for name, scale in native.items():
        if name.endswith(".weight_scale"):
            weight = original[name.removesuffix("_scale")]
            assert torch.equal(scale, weight.abs().max() / 448), name
            codes = (weight / scale).to(torch.float8_e4m3fn)
            assert torch.equal(native[name.removesuffix("_scale")].view(torch.uint8), codes.view(torch.uint8)), name


def scaled(tensors, dtype, rows, scale_dtype, weight_scale, other=None, text=False):
    """A file with scaled float8 or int8 linear layers, and the plain weights that it stands for."""
    file, plain = {}, {}
    largest = torch.finfo(dtype).max if dtype.is_floating_point else 127
    for name, value in tensors.items():
        layer = name.removesuffix(".weight")
        linear = value.ndim == 2 and layer != name and "embedding" not in name
        if not linear or not name.startswith((PREFIX, "conditioner.") if text else PREFIX):
            file[name] = plain[name] = value
            continue
        scale = (value.abs().amax(dim=1, keepdim=True) if rows else value.abs().max()).clamp(min=1e-8) / largest
        scale = scale.to(scale_dtype)
        codes = (value / scale.float()).clamp(-largest, largest)
        codes = codes.to(dtype) if dtype.is_floating_point else codes.round().to(dtype)
        file |= {name: codes, f"{layer}.{weight_scale}": scale}
        if other:
            file[f"{layer}.{other}"] = torch.tensor(0.5)
        if rows or not dtype.is_floating_point:
            plain[name] = codes.float() * scale.float()
        else:
            plain[name] = comfy_kitchen.dequantize_per_tensor_fp8(codes, scale.float(), torch.float32)
    return file, plain


@pytest.mark.parametrize("dtype,rows,scale_dtype,names,marker,text", [
    (torch.float8_e4m3fn, False, torch.float32, ("scale_weight", None), True, False),
    (torch.float8_e4m3fn, False, torch.float16, ("scale_weight", "scale_input"), True, True),
    (torch.float8_e4m3fn, True, torch.float32, ("scale_weight", None), True, False),
    (torch.float8_e5m2, False, torch.bfloat16, ("scale_weight", None), False, False),
    (torch.float8_e4m3fn, False, torch.float32, ("weight_scale", "input_scale"), False, True),
    (torch.int8, True, torch.float32, ("weight_scale", None), False, False),
])
@pytest.mark.parametrize("part", ["whole", "unet", "bare"])
def test_scaled_weights_are_multiplied_out(tmp_path, dtype, rows, scale_dtype, names, marker, text, part):
    run("convert", MINI, "-o", tmp_path / "f32.safetensors", "--type", "f32", "--quiet")
    file, plain = scaled(load_file(tmp_path / "f32.safetensors"), dtype, rows, scale_dtype, *names, text)
    if marker:
        file[f"{PREFIX}scaled_fp8"] = torch.tensor([], dtype=torch.float8_e4m3fn)
    if part != "whole":
        start = len(PREFIX) if part == "bare" else 0
        file, plain = ({name[start:]: value for name, value in tensors.items() if name.startswith(PREFIX)}
                       for tensors in (file, plain))
    for name, tensors in (("scaled", file), ("plain", plain)):
        tensors = {name: value.contiguous() for name, value in tensors.items()}
        save_file(tensors, tmp_path / f"{name}.safetensors")
        run("convert", tmp_path / f"{name}.safetensors", "-o", tmp_path / f"{name}-out.safetensors", "--type", "f32",
            "--quiet")
    found, expected = (load_file(tmp_path / f"{name}-out.safetensors") for name in ("scaled", "plain"))
    assert set(found) == set(expected)
    for name, value in expected.items():
        # Weights that no encoding of Decant holds become float16.
        held = (torch.equal(found[name], value), torch.equal(found[name], value.half().float()))
        assert any(held), name


def test_layers_are_described_by_the_header(tmp_path):
    run("convert", MINI, "-o", tmp_path / "f32.safetensors", "--type", "f32", "--quiet")
    file, plain = scaled(
        load_file(tmp_path / "f32.safetensors"), torch.float8_e5m2, False, torch.float32, "weight_scale")
    layers = {name.removesuffix(".weight_scale").removeprefix(PREFIX): {"format": "float8_e5m2"}
              for name in file if name.endswith(".weight_scale")}
    metadata = {"_quantization_metadata": json.dumps({"layers": layers})}
    save_file({name: value.contiguous() for name, value in file.items()}, tmp_path / "a.safetensors", metadata)
    run("convert", tmp_path / "a.safetensors", "-o", tmp_path / "b.safetensors", "--type", "f32", "--quiet")
    found = load_file(tmp_path / "b.safetensors")
    for layer in layers:
        name = f"{PREFIX}{layer}.weight"
        assert torch.equal(found[name], plain[name].half().float()), name


@pytest.mark.parametrize("velocity,terminal", [(True, True), (True, False), (False, False)])
def test_velocity_models_have_markers(tmp_path, velocity, terminal):
    model = tmp_path / "model"
    shutil.copytree(MINI, model)
    path = model / "scheduler" / "scheduler_config.json"
    scheduler = json.loads(path.read_text()) | {
        "prediction_type": "v_prediction" if velocity else "epsilon", "rescale_betas_zero_snr": terminal}
    path.write_text(json.dumps(scheduler))
    expected = ["v_pred"] * velocity + ["ztsnr"] * terminal
    for program in ("checkpoint", "comfyui"):
        run("convert", model, "-o", tmp_path / "a.safetensors", "--for", program, "--force", "--quiet")
        tensors = load_file(tmp_path / "a.safetensors")
        markers = sorted(name for name in tensors if "." not in name)
        assert markers == expected
        assert all(tensors[name].dtype == torch.float32 and tensors[name].tolist() == [1] for name in markers)
    for program in ("sdcpp", "comfyui", "diffusers"):
        run("convert", model, "-o", tmp_path / "a.gguf", "--for", program, "--force", "--quiet")
        assert sorted(t.name for t in GGUFReader(tmp_path / "a.gguf").tensors if "." not in t.name) == expected
    run("convert", tmp_path / "a.safetensors", "-o", f"{tmp_path / 'back'}/", "--quiet")
    back = json.loads((tmp_path / "back" / "scheduler" / "scheduler_config.json").read_text())
    assert back["prediction_type"] == scheduler["prediction_type"]

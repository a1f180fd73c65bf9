"""Checkpoints written by torch, read by decant and compared bit for bit. Their code does not run."""

import json
import os
import shutil
import sys
import types

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file

from conftest import facts, run

PICKLED = {
    "unet": "unet/diffusion_pytorch_model.bin",
    "vae": "vae/diffusion_pytorch_model.bin",
    "text_encoder": "text_encoder/pytorch_model.bin",
}
FORMS = {
    "zip": {},
    "legacy": dict(_use_new_zipfile_serialization=False),
    "protocol-4": dict(pickle_protocol=4),
    "protocol-5": dict(pickle_protocol=5),
}


def weights(pipeline):
    """Returns the tensors of every component by their current names."""
    return {
        name: {
            key if name != "text_encoder" or key.startswith("text_model.") else f"text_model.{key}": tensor
            for key, tensor in getattr(pipeline, name).state_dict().items()
            if not key.endswith("position_ids")
        }
        for name in PICKLED
    }


def pickled_folder(folder, out, tensors, **form):
    """Writes the folder with these tensors as .bin files."""
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns("*.safetensors"))
    for component, path in PICKLED.items():
        torch.save(tensors[component], out / path, **form)
    return out


def written(folder):
    """Returns the tensors that decant wrote, by component."""
    return {
        "unet": load_file(folder / "unet/diffusion_pytorch_model.safetensors"),
        "vae": load_file(folder / "vae/diffusion_pytorch_model.safetensors"),
        "text_encoder": load_file(folder / "text_encoder/model.safetensors"),
    }


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for component, tensors in expected.items():
        assert found[component].keys() == tensors.keys()
        for name, tensor in tensors.items():
            other = found[component][name]
            assert other.dtype == tensor.dtype and other.shape == tensor.shape, name
            assert torch.equal(other, tensor), name


# Memory layouts of trainers: (tensors by name) -> (the same numbers in another layout).
def unchanged(tensors):
    return dict(tensors)


def turned(tensors):
    """Every matrix is column-major, as after a transposition."""
    return {k: t.transpose(0, 1).contiguous().transpose(0, 1) if t.ndim > 1 else t for k, t in tensors.items()}


def channels_last(tensors):
    return {k: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t for k, t in tensors.items()}


def in_one_storage(tensors):
    """All tensors are views of one storage, as in an optimizer with flat parameters."""
    flat = torch.cat([t.flatten() for t in tensors.values()])
    result, start = {}, 0
    for name, tensor in tensors.items():
        result[name] = flat[start : start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
    return result


def every_second(tensors):
    """Tensors with gaps between the numbers."""
    return {k: torch.stack([t, torch.full_like(t, 9)], dim=-1)[..., 0] for k, t in tensors.items()}


def parameters(tensors):
    return {k: torch.nn.Parameter(t.clone()) for k, t in tensors.items()}


LAYOUTS = [unchanged, turned, channels_last, in_one_storage, every_second, parameters]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
def test_bin_folders(pipelines, tmp_path, form, layout):
    pipeline, folder = pipelines["sd1"]
    expected = weights(pipeline)
    source = pickled_folder(
        folder, tmp_path / "bin", {k: layout(t) for k, t in expected.items()}, **FORMS[form]
    )
    run("convert", source, "-o", tmp_path / "out")
    assert_same(written(tmp_path / "out"), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_narrow_and_wide_numbers(pipelines, tmp_path, dtype):
    pipeline, folder = pipelines["sd1"]
    expected = {c: {k: t.to(dtype) for k, t in tensors.items()} for c, tensors in weights(pipeline).items()}
    source = pickled_folder(folder, tmp_path / "bin", expected)
    run("convert", source, "-o", tmp_path / "out")
    assert_same(written(tmp_path / "out"), expected)


def test_what_diffusers_pickles(pipelines, tmp_path):
    """save_pretrained without safetensors: whole, as a variant, and in shards."""
    pipeline, folder = pipelines["sd1"]
    expected = weights(pipeline)
    source = pickled_folder(folder, tmp_path / "bin", expected)
    for component in ("unet", "vae"):
        (source / PICKLED[component]).unlink()
    pipeline.vae.save_pretrained(source / "vae", safe_serialization=False)
    pipeline.unet.save_pretrained(source / "unet", safe_serialization=False, max_shard_size="100KB")
    assert (source / "unet/diffusion_pytorch_model.bin.index.json").exists()
    run("convert", source, "-o", tmp_path / "out")
    assert_same(written(tmp_path / "out"), expected)

    shutil.rmtree(source / "unet")
    pipeline.unet.save_pretrained(source / "unet", safe_serialization=False, variant="fp16")
    assert (source / "unet/diffusion_pytorch_model.fp16.bin").exists()
    run("convert", source, "-o", tmp_path / "variant", "--variant", "fp16")
    assert_same(written(tmp_path / "variant"), expected)


def fake_module(monkeypatch, name, *classes):
    made = types.ModuleType(name)
    for each in classes:
        setattr(made, each, type(each, (), {"__module__": name}))
    monkeypatch.setitem(sys.modules, name, made)
    return made


def lightning(monkeypatch, tensors):
    """A checkpoint of a trainer, with objects of packages that are not installed."""
    callbacks = fake_module(monkeypatch, "pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
    fake_module(monkeypatch, "pytorch_lightning.callbacks")
    fake_module(monkeypatch, "pytorch_lightning")
    state = callbacks.ModelCheckpoint()
    state.best = {"score": torch.ones(2), "numpy": np.float64(0.5)}
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
    optimizer.param_groups[0]["params"][0].sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "global_step": 470000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": tensors,
        "callbacks": {callbacks.ModelCheckpoint: state},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [{"base_lrs": [1e-4], "last_epoch": 3}],
        "numpy": np.arange(3),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "size": torch.Size([1, 2]),
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", [unchanged, turned, in_one_storage], ids=lambda f: f.__name__)
def test_lightning_checkpoints(pipelines, tmp_path, monkeypatch, form, layout):
    """A .ckpt with LDM's names gives the same folder as the safetensors file with the same tensors."""
    _, folder = pipelines["sd1"]
    run("convert", folder, "-o", tmp_path / "model.safetensors")
    tensors = load_file(tmp_path / "model.safetensors")
    # Without decant's own metadata, like files of other programs.
    from safetensors.torch import save_file

    tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    tensors["model_ema.decay"] = torch.tensor(0.9999)
    tensors["model_ema.num_updates"] = torch.tensor(3, dtype=torch.int32)
    save_file(tensors, tmp_path / "twin.safetensors")
    torch.save(lightning(monkeypatch, layout(tensors)), tmp_path / "model.ckpt", **FORMS[form])

    run("convert", tmp_path / "twin.safetensors", "-o", tmp_path / "expected")
    run("convert", tmp_path / "model.ckpt", "-o", tmp_path / "out")
    assert_same(written(tmp_path / "out"), written(tmp_path / "expected"))


class Evil:
    def __init__(self, call, *arguments):
        self.made = (call, arguments)

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("call", ["os.system", "builtins.eval", "builtins.exec", "subprocess"])
def test_no_code_runs(pipelines, tmp_path, form, call):
    import subprocess

    pipeline, folder = pipelines["sd1"]
    mark = tmp_path / "it-ran"
    evil = {
        "os.system": Evil(os.system, f"touch {mark}"),
        "builtins.eval": Evil(eval, f"open({str(mark)!r}, 'w')"),
        "builtins.exec": Evil(exec, f"open({str(mark)!r}, 'w')"),
        "subprocess": Evil(subprocess.check_call, ["touch", str(mark)]),
    }[call]
    tensors = weights(pipeline)
    tensors["unet"] = dict(tensors["unet"]) | {"evil": evil}
    source = pickled_folder(folder, tmp_path / "bin", tensors, **FORMS[form])
    message = run("convert", source, "-o", tmp_path / "out", code=2)
    assert "which would run code" in message and "Decant did not run it" in message
    assert not mark.exists() and not (tmp_path / "out").exists()
    # The attack works: torch's own loader with weights_only=False runs the code.
    torch.load(source / PICKLED["unet"], weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize(
    "tensor,found",
    [
        (torch.eye(3).to_sparse(), "a tensor made by 'torch._utils._rebuild_sparse_tensor', which Decant does not read"),
        (torch.ones(3, dtype=torch.complex128), "numbers of 'torch.ComplexDoubleStorage', which Decant does not read"),
    ],
    ids=["sparse", "complex"],
)
def test_tensors_that_are_not_read(pipelines, tmp_path, tensor, found):
    pipeline, folder = pipelines["sd1"]
    tensors = weights(pipeline)
    tensors["unet"] = dict(tensors["unet"]) | {"odd": tensor}
    source = pickled_folder(folder, tmp_path / "bin", tensors)
    message = run("convert", source, "-o", tmp_path / "out", code=2)
    assert found in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("component,name", [("unet", "unet"), ("vae", "vae"), ("text_encoder", "text_encoder")])
def test_one_component_alone(pipelines, component, name):
    pipeline, folder = pipelines["sd1"]
    found = facts("inspect", folder / component)["components"]
    assert [c["name"] for c in found] == [name]
    assert found[0]["parameters"] == sum(p.numel() for p in getattr(pipeline, component).parameters())


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("limit", [None, "100KB", "1KB"])
def test_variants_and_shards_are_loaded(pipelines, tmp_path, variant, limit):
    """diffusers and transformers load shards and variants that decant wrote."""
    pipeline, folder = pipelines["sd1"]
    options = (["--output-variant", variant] if variant else []) + (["--max-shard-size", limit] if limit else [])
    run("convert", folder, "-o", tmp_path / "out", *options)
    for component, stem in [("unet", "diffusion_pytorch_model"), ("text_encoder", "model")]:
        files = sorted(path.name for path in (tmp_path / "out" / component).iterdir())
        middle = f".{variant}" if variant else ""
        if limit:
            index = json.loads((tmp_path / "out" / component / f"{stem}.safetensors.index{middle}.json").read_text())
            assert set(index["weight_map"].values()) == {f for f in files if f.endswith(".safetensors")}
            assert len(files) > 3
        else:
            assert files == ["config.json", f"{stem}{middle}.safetensors"]
    loaded = StableDiffusionPipeline.from_pretrained(tmp_path / "out", variant=variant)
    assert_same(weights(loaded), weights(pipeline))
    alone = UNet2DConditionModel.from_pretrained(tmp_path / "out" / "unet", variant=variant)
    assert_same({"unet": alone.state_dict()}, {"unet": pipeline.unet.state_dict()})
    run("convert", tmp_path / "out", "-o", tmp_path / "back", *(["--variant", variant] if variant else []))
    assert_same(written(tmp_path / "back"), weights(pipeline))

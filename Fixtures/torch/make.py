"""Writes the small PyTorch files of this folder, and a safetensors file with the same tensors for each.

    python Fixtures/torch/make.py        # torch 2.13, safetensors 0.8

Swift's tests read both and compare every bit.
"""

import collections
import sys
import types
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent


def views():
    """Tensors with every memory layout in their storage."""
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) - 7
    half = torch.linspace(-3, 3, 12).half().reshape(3, 4)
    return collections.OrderedDict(
        whole=base,
        transposed=base.transpose(0, 2),
        permuted=base.permute(1, 2, 0),
        part=base[1, 1:],
        every_second=base[:, :, ::2],
        column=base[:, 1, 2],
        shared=base,
        scalar=torch.tensor(2.5),
        scalar_within=base[1, 2, 3],
        empty=torch.zeros(0, 3),
        expanded=base[0, :, :1].expand(3, 5),
        one_wide=base[:, :1].transpose(0, 1),
        half_turned=half.t(),
        byte_turned=(half.t() * 10).to(torch.uint8).t(),
        double_turned=base.double().transpose(1, 2),
        parameter=torch.nn.Parameter(base[0].clone()),
    )


def kinds():
    numbers = torch.arange(-3, 5).reshape(2, 4)
    names = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64"
    return {name: numbers.to(getattr(torch, name)) for name in names.split()}


def new_kinds():
    numbers = torch.arange(0, 8).reshape(2, 4)
    names = "float8_e4m3fn float8_e5m2 uint16 uint32 uint64"
    return {name: numbers.to(getattr(torch, name)) for name in names.split()}


def module(name, *classes):
    """A module with empty classes that the reader does not have."""
    made = types.ModuleType(name)
    for each in classes:
        setattr(made, each, type(each, (), {"__module__": name}))
    sys.modules[name] = made
    return made


def lightning(tensors):
    """A checkpoint of a trainer: weights, counters, and objects of other packages."""
    callbacks = module("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
    module("pytorch_lightning")
    module("pytorch_lightning.callbacks")
    omegaconf = module("omegaconf.dictconfig", "DictConfig")
    module("omegaconf")
    config = omegaconf.DictConfig()
    config.flags = {"lr": 1e-4}
    return {
        "epoch": 6,
        "global_step": 840000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": collections.OrderedDict(tensors),
        "callbacks": {callbacks.ModelCheckpoint: {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}],
        "lr_schedulers": [{"last_epoch": 2, "_step_count": 3}],
        "hyper_parameters": config,
    }


def save(name, value, tensors, **options):
    torch.save(value, HERE / name, **options)
    whole = {key: tensor.detach().clone(memory_format=torch.contiguous_format) for key, tensor in tensors.items()}
    save_file(whole, HERE / (name + ".safetensors"))


def flat(value, prefix=""):
    for key, member in value.items():
        if isinstance(member, torch.Tensor):
            yield prefix + str(key), member
        elif isinstance(member, dict):
            yield from flat(member, f"{prefix}{key}.")


if __name__ == "__main__":
    torch.manual_seed(0)
    save("views.pt", views(), views())
    save("views-legacy.pt", views(), views(), _use_new_zipfile_serialization=False)
    save("kinds.pt", kinds() | new_kinds(), kinds() | new_kinds())
    save("kinds-legacy.pt", kinds(), kinds(), _use_new_zipfile_serialization=False)
    save("protocol4.pt", views(), views(), pickle_protocol=4)
    weights = {f"model.diffusion_model.{i}.weight": torch.randn(2, 3) for i in range(3)}
    save("lightning.ckpt", lightning(weights), weights)
    nested = {"unet": {"conv": {"weight": torch.randn(2), 0: torch.ones(1)}}, "ema": {"conv.weight": torch.randn(2)}}
    save("nested.pt", nested, dict(flat(nested)))

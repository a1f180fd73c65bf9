"""Compares the activations that `decant inspect` states with the tensors that diffusers holds at once."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from conftest import facts
from random_models import FAMILIES

SIDE = 512
TOLERANCE = 2e-3  # embeddings of timesteps and sizes, which the estimate leaves out


class LiveTensors(TorchDispatchMode):
    """The most bytes of tensors that are alive at once, without `known` ones."""

    def __init__(self, known):
        super().__init__()
        self.live = self.peak = 0
        self.seen = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        for tensor in tree_flatten(output)[0]:
            if isinstance(tensor, torch.Tensor):
                self.add(tensor.untyped_storage())
        self.peak = max(self.peak, self.live)
        return output

    def add(self, storage):
        key, size = storage._cdata, storage.nbytes()
        if key in self.seen:
            return
        self.seen.add(key)
        self.live += size
        weakref.finalize(storage, self.remove, key, size)

    def remove(self, key, size):
        self.seen.discard(key)
        self.live -= size


def peak(module, call):
    with LiveTensors([*module.parameters(), *module.buffers()]) as tensors:
        call()
    return tensors.peak


def unet_peak(unet):
    def call():
        config, side, added, options = unet.config, SIDE // 8, {}, {}
        if config.addition_embed_type:
            numbers = 5 if config.projection_class_embeddings_input_dim == 40 + 5 * 8 else 6
            added = dict(text_embeds=torch.randn(2, 40), time_ids=torch.zeros(2, numbers))
        if config.time_cond_proj_dim:
            options = dict(timestep_cond=torch.randn(2, config.time_cond_proj_dim))
        unet(
            torch.randn(2, config.in_channels, side, side),
            torch.tensor(10),
            torch.randn(2, 77, config.cross_attention_dim),
            added_cond_kwargs=added or None,
            **options,
        )

    return peak(unet, call)


def decoder_peak(vae):
    return peak(vae, lambda: vae.decode(torch.randn(1, 4, SIDE // 8, SIDE // 8)))


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_activations(families, name):
    pipeline, folder = families[name]
    # Decant's own estimate: float32, a batch of two, attention in tiles, direct convolutions.
    row = next(row for row in facts("inspect", folder)["memory"] if row["program"] == "decant")
    size = next(size for size in row["sizes"] if size["width"] == SIDE)
    found = {phase["name"]: phase["activations"] for phase in size["phases"]}
    assert found["U-Net"] == pytest.approx(unet_peak(pipeline.unet), rel=TOLERANCE)
    assert found["VAE decoder"] == pytest.approx(decoder_peak(pipeline.vae), rel=TOLERANCE)

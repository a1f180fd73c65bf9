"""Compares stripped files with surgery: removing modules from a diffusers model in memory must give the
same numbers as the stripped files in unmodified diffusers."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from conftest import facts
from random_models import SHAPES

CUTS = {
    "sd1": [
        ["--recipe", "bk-sdm-base"],
        ["--recipe", "bk-sdm-small"],
        ["--recipe", "bk-sdm-tiny"],
        ["--drop", "up_blocks.0.resnets.0"],
        ["--drop", "down_blocks.1.attentions.0", "up_blocks.3.attentions.2"],
        ["--drop", "down_blocks.2.attentions", "mid_block.attentions.0"],
        ["--drop", "mid_block.attentions.0", "mid_block.resnets.0"],
        ["--drop", "up_blocks.1.attentions.1.transformer_blocks.0"],
    ],
    "uneven-layers": [["--drop", "down_blocks.1.resnets.2", "up_blocks.1.resnets.1"]],
    "linear-heads-by-level": [["--drop", "down_blocks.*.resnets.1", "mid_block"]],
    "deep-transformers": [
        ["--drop", "down_blocks.1.attentions.1.transformer_blocks.1"],
        ["--drop", "up_blocks.0.attentions.0", "up_blocks.0.attentions.1.transformer_blocks.0"],
    ],
}


class Identity(torch.nn.Module):
    """Replaces a removed attention: returns its input."""

    def forward(self, hidden_states, *arguments, **options):
        return (hidden_states,)


class Lone(torch.nn.Module):
    """A mid block with one resnet."""

    def __init__(self, resnet):
        super().__init__()
        self.resnet = resnet

    def forward(self, hidden_states, temb=None, **options):
        return self.resnet(hidden_states, temb)


def without(modules, name, gone):
    return torch.nn.ModuleList(m for i, m in enumerate(modules) if f"{name}.{i}" not in gone)


def cut_attention(attention, name, gone):
    if name in gone:
        return Identity()
    attention.transformer_blocks = without(
        attention.transformer_blocks, f"{name}.transformer_blocks", gone)
    return attention


def cut_level(block, name, gone):
    kept = [i for i in range(len(block.resnets)) if f"{name}.resnets.{i}" not in gone]
    if hasattr(block, "attentions"):
        block.attentions = torch.nn.ModuleList(
            cut_attention(block.attentions[i], f"{name}.attentions.{i}", gone) for i in kept)
    block.resnets = torch.nn.ModuleList(block.resnets[i] for i in kept)
    if f"{name}.downsamplers.0" in gone:
        block.downsamplers = None


def operate(unet, gone):
    """Removes the named modules from the model in place."""
    for side in ("down_blocks", "up_blocks"):
        for index, block in enumerate(getattr(unet, side)):
            cut_level(block, f"{side}.{index}", gone)
    unet.down_blocks = without(unet.down_blocks, "down_blocks", gone)
    unet.up_blocks = without(unet.up_blocks, "up_blocks", gone)
    unet.num_upsamplers = len(unet.up_blocks) - 1
    middle = unet.mid_block
    resnets = [i for i in (0, 1) if f"mid_block.resnets.{i}" in gone]
    if "mid_block" in gone:
        unet.mid_block = None
    elif resnets:
        unet.mid_block = Lone(middle.resnets[1 - resnets[0]])
    elif middle is not None and getattr(middle, "attentions", None):
        middle.attentions[0] = cut_attention(middle.attentions[0], "mid_block.attentions.0", gone)


def check(pipeline, folder, work, cut, **options):
    """Strips the files and the model in memory, compares them and returns the stripped U-Net."""
    ledger = facts("strip", folder, "-o", work / "cut", *cut)["strip"]
    renamed = {r["student"]: r["teacher"] for r in ledger["renamed"]}
    gone = {r["block"] for r in ledger["removed"]}
    for tensor in ledger["zeroed"]:
        attention = tensor["tensor"].rpartition(".proj_out.")[0]
        gone.add(renamed.get(attention, attention))

    operated = UNet2DConditionModel.from_config(pipeline.unet.config).eval()
    operated.load_state_dict(pipeline.unet.state_dict())
    operate(operated, gone)
    stripped = UNet2DConditionModel.from_pretrained(work / "cut", subfolder="unet").eval()

    torch.manual_seed(3)
    text = torch.randn(2, 77, stripped.config.cross_attention_dim)
    inputs = (torch.randn(2, 4, 16, 16), torch.tensor([401, 7]), text)
    assert torch.equal(stripped(*inputs, **options).sample, operated(*inputs, **options).sample)
    removed = sum(r["parameters"] for r in ledger["removed"])
    assert sum(p.numel() for p in stripped.parameters()) == ledger["student"]["parameters"]
    assert sum(p.numel() for p in pipeline.unet.parameters()) - removed == ledger["student"]["parameters"]
    return stripped


@pytest.mark.parametrize("model, cut", [(m, c) for m, cuts in CUTS.items() for c in cuts])
@torch.no_grad()
def test_stripping_is_surgery(pipelines, tmp_path, model, cut):
    assert model in SHAPES
    check(*pipelines[model], tmp_path, cut)


# The transformer depths that each recipe leaves of SDXL, by attention in the order of the module tree.
EXTRA_LARGE = {
    "ssd-1b": ([[2, 2], [4, 4]], [], [[4, 4, 10], [2, 1, 1]]),
    "segmind-vega": ([[1, 1], [2, 2]], [], [[2, 2, 2], [1, 1, 1]]),
    "koala-700m": ([[2], [5]], [], [[5, 5], [2, 2]]),
    "koala-1b": ([[2], [6]], [6], [[6, 6], [2, 2]]),
}


def depths(block):
    return [len(attention.transformer_blocks) for attention in block.attentions]


@pytest.mark.parametrize("choice", [[], ["--transformer-blocks", "10=3,5,8"]])
@pytest.mark.parametrize("recipe", EXTRA_LARGE)
@torch.no_grad()
def test_recipes_of_sdxl_are_surgery(families, tmp_path, recipe, choice):
    torch.manual_seed(4)
    added = dict(text_embeds=torch.randn(2, 40), time_ids=torch.randint(0, 99, (2, 6)).float())
    unet = check(
        *families["sdxl"], tmp_path, ["--recipe", recipe, *choice], added_cond_kwargs=added)
    if choice:
        return
    down, middle, up = EXTRA_LARGE[recipe]
    assert [depths(block) for block in unet.down_blocks[1:]] == down
    assert [depths(block) for block in unet.up_blocks[:2]] == up
    assert depths(unet.mid_block) == middle if getattr(unet.mid_block, "attentions", None) else not middle

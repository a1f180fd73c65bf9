"""The parts of mini-sd: those of Stable Diffusion 1, scaled down.

A CLIP byte-pair tokenizer learned on the captions, a CLIP text encoder, a VAE with 8x
down-sampling and 4 latent channels, and a U-Net of the SD 1.x topology (four levels, cross
attention in three).
"""

import collections
import json
import math
import os

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

BETAS = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}
# Single-file checkpoints of SD 1 carry no scaling factor; every reader takes this one for granted.
SCALING_FACTOR = 0.18215
TOKENS = 77
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def alphas_cumulative():
    """The cumulative products of 1 - beta, one for each time step."""
    steps = BETAS["num_train_timesteps"]
    roots = torch.linspace(BETAS["beta_start"] ** 0.5, BETAS["beta_end"] ** 0.5, steps)
    return torch.cumprod(1 - roots**2, 0)


def make_vae():
    # Few groups: with only two channels a group the colours are lost.
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(24, 32, 64, 64),
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=SCALING_FACTOR,
    )


def make_text_encoder(tokenizer, width=64):
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            hidden_act="quick_gelu",
            projection_dim=width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def make_unet(width=64):
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64, 96, 96),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=width,
        attention_head_dim=4,
        norm_num_groups=4,
    )


def make_scheduler():
    """DDIM as it goes with SD 1.

    Not PNDM, which many SD 1 folders name: where a caption settles every colour, as here, guidance
    is stiff at high noise, and a multi-step method blows up below 50 steps.
    """
    return DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1)


@torch.no_grad()
def standardize(vae, means):
    """Folds the statistics of its latents into the VAE's two 1x1 convolutions.

    Afterwards every latent channel has mean 0 and standard deviation 1 / SCALING_FACTOR, so the
    U-Net sees them all at one size and the scaling factor is SD 1's own. What the VAE paints does
    not change.
    """
    mean = means.mean((0, 2, 3))
    scale = means.std((0, 2, 3)) * SCALING_FACTOR
    channels = len(mean)
    quant, post = vae.quant_conv, vae.post_quant_conv
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight *= scale[None, :, None, None]
    quant.weight[:channels] /= scale[:, None, None, None]
    quant.bias[:channels] = (quant.bias[:channels] - mean) / scale
    quant.bias[channels:] -= 2 * torch.log(scale)
    vae.register_to_config(scaling_factor=SCALING_FACTOR)


def byte_characters():
    """CLIP's printable stand-in for each byte, in the order of its vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + k) for k in range(len(others))]


def learn_merges(captions):
    """Byte-pair merges, learned until every word of the captions is one token."""
    words = collections.Counter(word for caption in captions for word in caption.split())
    parts = {word: (*word[:-1], word[-1] + "</w>") for word in words}
    merges = []
    while True:
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(parts[word], parts[word][1:], strict=False):
                pairs[pair] += count
        if not pairs:
            return merges
        best = max(sorted(pairs), key=lambda pair: pairs[pair])
        merges.append(best)
        for word, pieces in parts.items():
            parts[word] = merge_pair(pieces, best)


def merge_pair(pieces, pair):
    merged, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            merged.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            merged.append(pieces[i])
            i += 1
    return tuple(merged)


def write_tokenizer(folder, captions):
    """vocab.json and merges.txt with the two small configs that SD 1 has beside them."""
    os.makedirs(folder, exist_ok=True)
    merges = learn_merges(captions)
    base = byte_characters()
    tokens = base + [b + "</w>" for b in base] + ["".join(m) for m in merges] + [BOS, EOS]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    write_json(f"{folder}/vocab.json", vocabulary, indent=None)
    with open(f"{folder}/merges.txt", "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n")
        file.writelines(f"{left} {right}\n" for left, right in merges)
    special = {"bos_token": BOS, "eos_token": EOS, "pad_token": EOS, "unk_token": EOS}
    write_json(f"{folder}/special_tokens_map.json", special)
    config = {
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": TOKENS,
        "tokenizer_class": "CLIPTokenizer",
        **special,
    }
    write_json(f"{folder}/tokenizer_config.json", config)


def write_json(path, value, indent=2):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=indent, sort_keys=indent is not None)
        file.write("\n")


def read_tokenizer(folder):
    return CLIPTokenizer.from_pretrained(folder, model_max_length=TOKENS)


def token_ids(tokenizer, captions):
    encoded = tokenizer(captions, padding="max_length", max_length=TOKENS, truncation=True)
    return torch.tensor(encoded.input_ids)


def signal_to_noise():
    alphas = alphas_cumulative()
    return alphas / (1 - alphas)


def cosine(fraction):
    """From 1 down to 0 while the fraction goes from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * min(max(fraction, 0), 1)))

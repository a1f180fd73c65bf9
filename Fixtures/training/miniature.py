"""The description of a miniature model, and the parts that all miniatures share."""

import collections
import dataclasses
import importlib
import json
import math
import os
import pathlib
import time
from collections.abc import Callable

import diffusers
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextConfig, CLIPTokenizer

from shapes import captions_drawn, describe_pairs

BETAS = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}
TOKENS = 77
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def alphas_cumulative():
    """The cumulative products of 1 - beta, one for each time step."""
    steps = BETAS["num_train_timesteps"]
    roots = torch.linspace(BETAS["beta_start"] ** 0.5, BETAS["beta_end"] ** 0.5, steps)
    return torch.cumprod(1 - roots**2, 0)


@dataclasses.dataclass(frozen=True)
class Miniature:
    """A miniature model: its drawings, its networks and its pipeline.

    Each miniature is one file with one value of this type: `mini_sd.py`, `mini_sdxl.py`.
    """

    name: str
    side: int  # of a picture, in pixels
    scaling_factor: float  # of the VAE's latents
    describe: Callable  # draws a scene of the data set
    frame: Callable  # draws the framing of a scene
    make_vae: Callable
    make_networks: Callable  # (tokenizer) -> the trained networks, by the names of their folders
    encode: Callable  # (networks, ids, time_ids, empty, dropped) -> the U-Net's conditioning
    make_scheduler: Callable
    pipeline: str  # diffusers' class
    index: dict  # of model_index.json: the components' classes, and settings of the pipeline
    paddings: dict  # of each tokenizer: the token that fills up a caption
    steps: int  # of the evaluation
    guidance_scale: float

    @property
    def folder(self):
        return pathlib.Path(__file__).parent.parent / self.name

    def held_out(self):
        """The captions of the evaluation: never trained on."""
        return json.loads((self.folder / "prompts.json").read_text(encoding="utf-8"))


def read_miniature(name):
    module = importlib.import_module(name.replace("-", "_"))
    return module.MINIATURE


def read_pipeline(mini, folder):
    """The diffusers pipeline of a folder in float32, with the miniature's scheduler."""
    pipe = getattr(diffusers, mini.pipeline).from_pretrained(folder, dtype=torch.float32)
    pipe.scheduler = mini.make_scheduler()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def clip_config(tokenizer, width, layers, **others):
    """The configuration of a CLIP text encoder for the miniatures' tokenizer."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        max_position_embeddings=TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **others,
    )


def make_vae(side, scaling_factor):
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
        sample_size=side,
        scaling_factor=scaling_factor,
    )


@torch.no_grad()
def standardize(vae, means, scaling_factor):
    """Folds the statistics of its latents into the VAE's two 1x1 convolutions.

    Afterwards every latent channel has mean 0 and standard deviation 1 / scaling_factor, so the
    U-Net sees them all at one size and the scaling factor is that of the model's family. What the VAE paints does
    not change.
    """
    mean = means.mean((0, 2, 3))
    scale = means.std((0, 2, 3)) * scaling_factor
    channels = len(mean)
    quant, post = vae.quant_conv, vae.post_quant_conv
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight *= scale[None, :, None, None]
    quant.weight[:channels] /= scale[:, None, None, None]
    quant.bias[:channels] = (quant.bias[:channels] - mean) / scale
    quant.bias[channels:] -= 2 * torch.log(scale)
    vae.register_to_config(scaling_factor=scaling_factor)


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


def write_tokenizer(folder, padding=EOS):
    """vocab.json and merges.txt with the two small configs that SD 1 has beside them.

    All miniatures have the same words: those of mini-sd's captions.
    """
    os.makedirs(folder, exist_ok=True)
    merges = learn_merges(captions_drawn(describe_pairs, 24000))
    base = byte_characters()
    tokens = base + [b + "</w>" for b in base] + ["".join(m) for m in merges] + [BOS, EOS]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    write_json(f"{folder}/vocab.json", vocabulary, indent=None)
    with open(f"{folder}/merges.txt", "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n")
        file.writelines(f"{left} {right}\n" for left, right in merges)
    special = {"bos_token": BOS, "eos_token": EOS, "pad_token": padding, "unk_token": EOS}
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


def log(*words):
    print(time.strftime("%H:%M:%S"), *words, flush=True)

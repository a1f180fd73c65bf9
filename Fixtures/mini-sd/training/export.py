"""Writes the averaged weights of a run as a diffusers folder in half precision.

export.py RUN [FOLDER]      # FOLDER: Fixtures/mini-sd
"""

import argparse
import json
import os
import pathlib

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

from mini import make_scheduler, make_text_encoder, read_tokenizer, write_json, write_tokenizer
from shapes import captions_drawn
from train import Trainee

FIXTURE = pathlib.Path(__file__).parent.parent
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def write_weights(path, module, prefix=""):
    tensors = {}
    for name, tensor in module.state_dict().items():
        name = name if name.startswith(prefix) else prefix + name
        half = tensor.detach().to(torch.float16).contiguous().clone()
        if not torch.isfinite(half).all():
            raise ValueError(f"{name} does not fit half precision")
        tensors[name] = half
    save_file(tensors, path + ".new", metadata={"format": "pt"})
    os.chmod(path + ".new", 0o644)
    os.replace(path + ".new", path)


def write_config(folder, config, name="config.json"):
    os.makedirs(folder, exist_ok=True)
    write_json(f"{folder}/{name}", {k: v for k, v in config.items() if k != "_name_or_path"})


def diffusers_config(module):
    return json.loads(module.to_json_string())


def export(run, folder):
    tokenizer = read_tokenizer(f"{run}/tokenizer")
    trainee = Trainee(tokenizer)
    state = torch.load(f"{run}/state.pt")
    trainee.bind(state["averages"])
    vae = AutoencoderKL.from_pretrained(f"{run}/vae", dtype=torch.float32)

    write_tokenizer(f"{folder}/tokenizer", captions_drawn(24000))
    text = make_text_encoder(tokenizer).config.to_diff_dict()
    text.update(architectures=["CLIPTextModel"], torch_dtype="float16")
    write_config(f"{folder}/text_encoder", text)
    write_weights(f"{folder}/text_encoder/model.safetensors", trainee.text, "text_model.")
    for name, module in (("unet", trainee.unet), ("vae", vae)):
        write_config(f"{folder}/{name}", diffusers_config(module))
        write_weights(f"{folder}/{name}/diffusion_pytorch_model.safetensors", module)
    write_config(f"{folder}/scheduler", diffusers_config(make_scheduler()), "scheduler_config.json")
    write_json(f"{folder}/model_index.json", INDEX)
    return state["step"], state["spent"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="folder of the training run")
    parser.add_argument("folder", nargs="?", default=str(FIXTURE))
    options = parser.parse_args()
    step, spent = export(options.run, options.folder)
    print(f"{options.folder}: step {step}, {spent / 60:.0f} minutes")


if __name__ == "__main__":
    main()

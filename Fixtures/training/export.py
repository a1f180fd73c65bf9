"""Writes the averaged weights of a run as the miniature's diffusers folder, in half precision.

export.py MODEL RUN [FOLDER]      # FOLDER: the fixture
"""

import argparse
import json
import os

import torch
from safetensors.torch import save_file

from dataset import read_vae
from miniature import read_miniature, read_tokenizer, write_json, write_tokenizer
from train import Trainee

DIFFUSERS_VERSION = "0.42.1"


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


def export(mini, run, folder):
    trainee = Trainee(mini, read_tokenizer(f"{run}/tokenizer"))
    state = torch.load(f"{run}/state.pt", map_location="cpu")
    trainee.bind(state["averages"])
    for name, padding in mini.paddings.items():
        write_tokenizer(f"{folder}/{name}", padding)
    for name, network in trainee.networks.items():
        if name.startswith("text_encoder"):
            config = network.config.to_diff_dict()
            config.update(architectures=[mini.index[name][1]], torch_dtype="float16")
            write_config(f"{folder}/{name}", config)
            # transformers' older layout, which all checkpoints have.
            prefix = "" if hasattr(network, "text_projection") else "text_model."
            write_weights(f"{folder}/{name}/model.safetensors", network, prefix)
    for name, module in (("unet", trainee.networks["unet"]), ("vae", read_vae(run))):
        write_config(f"{folder}/{name}", diffusers_config(module))
        write_weights(f"{folder}/{name}/diffusion_pytorch_model.safetensors", module)
    scheduler = diffusers_config(mini.make_scheduler())
    write_config(f"{folder}/scheduler", scheduler, "scheduler_config.json")
    index = {"_class_name": mini.pipeline, "_diffusers_version": DIFFUSERS_VERSION, **mini.index}
    write_json(f"{folder}/model_index.json", index)
    return state["step"], state["spent"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="mini-sd or mini-sdxl")
    parser.add_argument("run", help="folder of the training run")
    parser.add_argument("folder", nargs="?", help="default: the fixture")
    options = parser.parse_args()
    mini = read_miniature(options.model)
    folder = options.folder or str(mini.folder)
    step, spent = export(mini, options.run, folder)
    print(f"{folder}: step {step}, {spent / 60:.0f} minutes")


if __name__ == "__main__":
    main()

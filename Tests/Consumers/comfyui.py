"""ComfyUI: loads a single file as its node "Load Checkpoint" does and calls the U-Net once.

`program` is a checkout of https://github.com/comfyanonymous/ComfyUI.
"""

import importlib.abc
import importlib.machinery
import pathlib
import re
import sys
import types

from consumer import one_thread, record_loaded_keys, serve


class Absent(types.ModuleType):
    """Stands for a module that ComfyUI imports at its start and that Stable Diffusion does not use."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self.__name__}.{name}")


class AbsentFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds torchvision and torchaudio, whose builds must match that of torch, as `Absent`."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torchvision", "torchaudio"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return Absent(spec.name)

    def exec_module(self, module):
        pass


def is_unused(name):
    """Whether ComfyUI leaves a tensor of a text encoder without use where files lack it."""
    return name.endswith("logit_scale") or (
        name.endswith("text_projection.weight") and not name.startswith("clip_g."))


def start(program, answer):
    """Imports ComfyUI for the processor; returns torch and its module `comfy.sd`."""
    torch = one_thread()
    import transformers  # Before `AbsentFinder`: it looks for torchvision.

    del transformers
    sys.meta_path.insert(0, AbsentFinder())
    sys.path.insert(0, program)
    from comfy.cli_args import args

    args.cpu = True
    import comfy.sd

    text = (pathlib.Path(program) / "comfyui_version.py").read_text()
    answer.version = f"ComfyUI {re.search(r'__version__ = .(.*?).$', text, re.MULTILINE)[1]}"
    record_loaded_keys(torch, answer, is_unused)
    return torch, comfy.sd


def call_unet(torch, patcher, request):
    """Calls the U-Net once and writes the result."""
    from comfy.ldm.modules.diffusionmodules.util import timestep_embedding
    from safetensors.torch import load_file, save_file

    inputs = load_file(request["inputs"])
    unet = patcher.model.diffusion_model
    kind = unet.dtype
    options = {}
    if "time_ids" in inputs:
        width = request["time_embedding_width"]
        ids = timestep_embedding(inputs["time_ids"].flatten(), width).reshape(len(inputs["sample"]), -1)
        options["y"] = torch.cat([inputs["text_embeds"], ids], dim=1).to(kind)
    sample = unet(
        inputs["sample"].to(kind), inputs["timestep"],
        context=inputs["encoder_hidden_states"].to(kind), **options)
    save_file({"sample": sample.float().contiguous()}, request["output"])


def check(request, answer):
    torch, sd = start(request["program"], answer)
    loaded = sd.load_checkpoint_guess_config(request["file"], output_vae=True, output_clip=True)
    if loaded is None:
        raise ValueError("the model is not recognized")
    call_unet(torch, loaded[0], request)


if __name__ == "__main__":
    serve(check)

"""ComfyUI-GGUF: loads the U-Net of a GGUF file as its node "Unet Loader (GGUF)" does and calls it once.

`program` is a checkout of https://github.com/comfyanonymous/ComfyUI, and `extension` one of
https://github.com/city96/ComfyUI-GGUF. Weights are dequantized in float32; the node's default is float16.
"""

import importlib
import pathlib
import re
import sys
import types

from comfyui import call_unet, start
from consumer import serve


def check(request, answer):
    torch, sd = start(request["program"], answer)
    project = (pathlib.Path(request["extension"]) / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.*?)"', project, re.MULTILINE)[1]
    answer.version = f"ComfyUI-GGUF {version} in {answer.version}"
    # As a package without its `__init__.py`, which registers nodes with a running server.
    package = types.ModuleType("comfyui_gguf_extension")
    package.__path__ = [request["extension"]]
    sys.modules[package.__name__] = package
    ops = importlib.import_module(f"{package.__name__}.ops")
    loader = importlib.import_module(f"{package.__name__}.loader")
    ops.GGMLLayer.dequant_dtype = torch.float32
    weights = loader.gguf_sd_loader(request["file"])
    patcher = sd.load_diffusion_model_state_dict(
        weights, model_options={"custom_operations": ops.GGMLOps()})
    if patcher is None:
        raise ValueError("the model is not recognized")
    call_unet(torch, patcher, request)


if __name__ == "__main__":
    serve(check)

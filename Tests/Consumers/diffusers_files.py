"""diffusers: loads the U-Net of a single file, in safetensors or GGUF, and calls it once.

diffusers is a package of requirements.txt, so that this check needs no checkout.
"""

import logging

from consumer import one_thread, serve


class Messages(logging.Handler):
    """Keeps what the loader says about keys."""

    def __init__(self):
        super().__init__()
        self.unused = []

    def emit(self, record):
        text = record.getMessage()
        if "were not used" in text:
            self.unused.append(text.splitlines()[-1].strip(" []"))


def check(request, answer):
    torch = one_thread()
    import diffusers
    from safetensors.torch import load_file, save_file

    answer.version = f"diffusers {diffusers.__version__}"
    messages = Messages()
    logging.getLogger("diffusers").addHandler(messages)
    options = {}
    if request["file"].endswith(".gguf"):
        options["quantization_config"] = diffusers.GGUFQuantizationConfig(compute_dtype=torch.float32)
    unet = diffusers.UNet2DConditionModel.from_single_file(
        request["file"], config=request["folder"], subfolder="unet", torch_dtype=torch.float32, **options)
    answer.missing = [name for name, value in unet.state_dict().items() if value.is_meta]
    answer.unexpected = messages.unused
    inputs = load_file(request["inputs"])
    added = {name: inputs.pop(name) for name in ("text_embeds", "time_ids") if name in inputs}
    sample = unet(**inputs, **({"added_cond_kwargs": added} if added else {})).sample
    save_file({"sample": sample.float().contiguous()}, request["output"])


if __name__ == "__main__":
    serve(check)

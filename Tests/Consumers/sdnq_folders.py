"""diffusers with SDNQ: loads the U-Net of a diffusers folder in SDNQ's form and calls it once."""

import sdnq

from consumer import one_thread, serve


def check(request, answer):
    torch = one_thread()
    import diffusers
    from safetensors.torch import load_file, save_file

    answer.version = f"diffusers {diffusers.__version__}, SDNQ {sdnq.__version__}"
    unet = diffusers.UNet2DConditionModel.from_pretrained(
        request["file"], subfolder="unet", torch_dtype=torch.float32)
    answer.missing = [name for name, value in unet.state_dict().items() if value.is_meta]
    inputs = load_file(request["inputs"])
    added = {name: inputs.pop(name) for name in ("text_embeds", "time_ids") if name in inputs}
    sample = unet(**inputs, **({"added_cond_kwargs": added} if added else {})).sample
    save_file({"sample": sample.float().contiguous()}, request["output"])


if __name__ == "__main__":
    serve(check)

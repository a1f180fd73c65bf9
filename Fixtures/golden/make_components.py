#!/usr/bin/env python3
"""Golden vectors of single components: small random models, their inputs and their outputs.

    python Fixtures/golden/make_components.py

Each `components-NAME.safetensors` holds one component of diffusers or transformers in float32:

    weights.*   the component's state dict
    input.*     arguments, named as the library names them
    output.*    results; hidden_states.K for a text encoder
    block.*     outputs of blocks, by module name
    layer.*     inputs of convolutions and linear layers, by module name

and in its metadata `kind` (unet, text_encoder, vae), `class`, `config` (JSON, as the library writes
it), `seed` and the versions of the libraries. Norms are moved away from 1 and 0 and biases away from 0,
so that a missing scale or bias changes the output. Inputs of norms are small, so that another epsilon
changes it too.
"""

import json
import os

import diffusers
import torch
import transformers
from safetensors.torch import save_file

SEED = 20240517
HERE = os.path.dirname(os.path.abspath(__file__))


# Layers before a norm. Their weights are small so that the norm's epsilon matters.
QUIET = ("conv_in", "conv2", "conv_shortcut", "proj_in", "to_out", "ff.net.2", "samplers.0.conv")


def disturb(model, generator):
    """Moves every parameter that a constructor sets to 0 or 1, and shrinks the inputs of norms."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(noise, alpha=0.2)
            elif "embedding" in name:
                # CLIP initializes with 0.02, where layer norms hide errors in the embeddings.
                parameter.mul_(10)
            if any(part in name for part in QUIET):
                parameter.mul_(0.1)


def tapped(model, blocks, layers):
    """Records outputs of `blocks` and inputs of `layers` while the model runs."""
    found = {}

    def output(name):
        def hook(_module, _arguments, result):
            result = result[0] if isinstance(result, tuple) else result
            result = result.sample if hasattr(result, "sample") else result
            found[f"block.{name}"] = result.detach().clone().contiguous()

        return hook

    def argument(name):
        def hook(_module, arguments):
            found[f"layer.{name}"] = arguments[0].detach().clone().contiguous()

        return hook

    for name in blocks:
        model.get_submodule(name).register_forward_hook(output(name))
    for name in layers:
        model.get_submodule(name).register_forward_pre_hook(argument(name))
    return found


def save(name, kind, model, config, tensors):
    weights = {f"weights.{key}": value for key, value in model.state_dict().items()}
    tensors = {key: value.detach().clone().contiguous() for key, value in (weights | tensors).items()}
    metadata = {
        "format": "pt",
        "kind": kind,
        "class": type(model).__name__,
        "config": json.dumps(config, sort_keys=True),
        "seed": str(SEED),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }
    path = os.path.join(HERE, f"components-{name}.safetensors")
    save_file(tensors, path, metadata=metadata)
    print(f"{os.path.basename(path)}: {os.path.getsize(path):,} bytes")


def unet(name, config, height, width, timesteps, blocks, layers, words=7):
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    model = diffusers.UNet2DConditionModel(**config).eval()
    disturb(model, generator)
    batch = 2
    text = model.config.cross_attention_dim
    text = text[0] if isinstance(text, (list, tuple)) else text
    inputs = {
        "sample": torch.randn(batch, model.config.in_channels, height, width, generator=generator),
        "timestep": torch.tensor(timesteps, dtype=torch.float32),
        "encoder_hidden_states": torch.randn(batch, words, text, generator=generator),
    }
    extra = {}
    if model.config.time_cond_proj_dim is not None:
        inputs["timestep_cond"] = torch.randn(
            batch, model.config.time_cond_proj_dim, generator=generator
        )
        extra["timestep_cond"] = inputs["timestep_cond"]
    if model.config.addition_embed_type == "text_time":
        width_of_ids = 6 * model.config.addition_time_embed_dim
        pooled = model.config.projection_class_embeddings_input_dim - width_of_ids
        inputs["text_embeds"] = torch.randn(batch, pooled, generator=generator)
        inputs["time_ids"] = torch.tensor([[64.0, 48, 0, 4, 64, 48], [1024, 1024, 8, 0, 512, 512]])
        extra["added_cond_kwargs"] = {key: inputs[key] for key in ("text_embeds", "time_ids")}
    found = tapped(model, blocks, layers)
    with torch.no_grad():
        output = model(
            inputs["sample"], inputs["timestep"], inputs["encoder_hidden_states"], **extra
        ).sample
    tensors = {f"input.{key}": value for key, value in inputs.items()}
    save(name, "unet", model, dict(model.config), tensors | found | {"output.sample": output})


def text_encoder(name, model_class, eos, **config):
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    config = transformers.CLIPTextConfig(
        bos_token_id=62, eos_token_id=eos, pad_token_id=0, vocab_size=64,
        max_position_embeddings=12, **config,
    )
    model = model_class(config).eval()
    disturb(model, generator)
    # End tokens (63) at different positions, then padding: with the end token, and with another.
    ids = torch.tensor(
        [[62, 5, 17, 9, 63, 63, 63, 63, 63, 63, 63, 63], [62, 3, 3, 41, 22, 8, 30, 63, 0, 0, 0, 0]]
    )
    with torch.no_grad():
        output = model(input_ids=ids, output_hidden_states=True)
        inner = model.text_model if hasattr(model, "text_model") else model
        pooled = inner(input_ids=ids).pooler_output
    tensors = {
        "input.input_ids": ids,
        "output.last_hidden_state": output.last_hidden_state,
        "output.pooler_output": pooled,
    }
    for index, state in enumerate(output.hidden_states):
        tensors[f"output.hidden_states.{index}"] = state
    if hasattr(output, "text_embeds"):
        tensors["output.text_embeds"] = output.text_embeds
    written = json.loads(config.to_json_string(use_diff=False))
    save(name, "text_encoder", model, written, tensors)


def vae(name, config, height, width, blocks):
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    model = diffusers.AutoencoderKL(**config).eval()
    disturb(model, generator)
    factor = 2 ** (len(config["block_out_channels"]) - 1)
    image = torch.rand(2, 3, height * factor, width * factor + 1, generator=generator) * 2 - 1
    latent = torch.randn(2, model.config.latent_channels, height, width, generator=generator)
    found = tapped(model, blocks, [])
    with torch.no_grad():
        posterior = model.encode(image).latent_dist
        decoded = model.decode(latent).sample
    tensors = {
        "input.image": image,
        "input.latent": latent,
        "output.mean": posterior.mean,
        "output.logvar": posterior.logvar,
        "output.image": decoded,
    }
    save(name, "vae", model, dict(model.config), tensors | found)


def main():
    cross = "CrossAttn"
    unet(
        "unet-sd1",
        dict(
            block_out_channels=[16, 24, 32],
            down_block_types=[f"{cross}DownBlock2D", f"{cross}DownBlock2D", "DownBlock2D"],
            up_block_types=["UpBlock2D", f"{cross}UpBlock2D", f"{cross}UpBlock2D"],
            layers_per_block=2, norm_num_groups=8, attention_head_dim=4, cross_attention_dim=20,
            sample_size=8,
        ),
        # Sides that are not multiples of 4: upsamplers must restore the sizes of the down blocks.
        height=7, width=10, timesteps=[999.0, 41.0],
        blocks=[
            "conv_in", "time_embedding", "down_blocks.0.resnets.0", "down_blocks.1.attentions.1",
            "down_blocks.0.downsamplers.0", "mid_block.attentions.0", "mid_block.resnets.1",
            "up_blocks.0.upsamplers.0", "up_blocks.2.attentions.2", "conv_out",
        ],
        layers=[
            "conv_in", "time_embedding.linear_1", "down_blocks.0.resnets.0.time_emb_proj",
            "down_blocks.1.resnets.0.conv_shortcut", "down_blocks.0.attentions.0.proj_in",
            "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
            "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0",
            "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k",
            "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj",
            "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2",
            "down_blocks.0.attentions.0.proj_out", "up_blocks.0.upsamplers.0.conv",
            "up_blocks.1.resnets.2.conv1", "conv_out",
        ],
    )
    unet(
        "unet-stripped",
        dict(
            block_out_channels=[8, 16, 16],
            down_block_types=["DownBlock2D", f"{cross}DownBlock2D", f"{cross}DownBlock2D"],
            up_block_types=[f"{cross}UpBlock2D", "UpBlock2D", f"{cross}UpBlock2D"],
            layers_per_block=[2, 1, 0], mid_block_type=None, norm_num_groups=4, norm_eps=1e-4,
            attention_head_dim=[2, 4, 1], cross_attention_dim=12, use_linear_projection=True,
            transformer_layers_per_block=[1, [2], [0]],
            reverse_transformer_layers_per_block=[[2], 1, [1, 0, 2]],
            only_cross_attention=[True, False, True], center_input_sample=True,
            flip_sin_to_cos=False, freq_shift=1, downsample_padding=0, in_channels=5,
            out_channels=3, conv_in_kernel=5, time_cond_proj_dim=6,
        ),
        height=6, width=5, timesteps=[500.5],
        blocks=["down_blocks.1.attentions.0", "up_blocks.2.attentions.1"],
        layers=["time_embedding.cond_proj", "up_blocks.0.attentions.0.proj_in"],
    )
    unet(
        "unet-xl",
        dict(
            block_out_channels=[8, 16],
            down_block_types=["DownBlock2D", f"{cross}DownBlock2D"],
            up_block_types=[f"{cross}UpBlock2D", "UpBlock2D"],
            mid_block_type="UNetMidBlock2D", mid_block_scale_factor=1.5, layers_per_block=1,
            norm_num_groups=8, attention_head_dim=[1, 2], cross_attention_dim=12,
            use_linear_projection=True, transformer_layers_per_block=[1, 2],
            addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=60, time_embedding_dim=40,
        ),
        height=4, width=4, timesteps=[1.0, 700.0],
        blocks=["add_embedding", "mid_block.resnets.0"], layers=["add_embedding.linear_1"],
    )
    text_encoder(
        "text-clip", transformers.CLIPTextModel, eos=2, hidden_size=24, intermediate_size=48,
        num_hidden_layers=3, num_attention_heads=4, hidden_act="quick_gelu",
    )
    text_encoder(
        "text-projected", transformers.CLIPTextModelWithProjection, eos=63, hidden_size=16,
        intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, hidden_act="gelu",
        projection_dim=20, layer_norm_eps=1e-4,
    )
    vae(
        "vae",
        dict(
            block_out_channels=[8, 12, 16], down_block_types=["DownEncoderBlock2D"] * 3,
            up_block_types=["UpDecoderBlock2D"] * 3, layers_per_block=2, norm_num_groups=4,
            latent_channels=4, sample_size=16,
        ),
        height=4, width=3,
        blocks=["encoder.mid_block.attentions.0", "encoder.down_blocks.0.downsamplers.0",
                "decoder.mid_block.attentions.0", "decoder.up_blocks.0.upsamplers.0"],
    )
    vae(
        "vae-plain",
        dict(
            block_out_channels=[8, 16], down_block_types=["DownEncoderBlock2D"] * 2,
            up_block_types=["UpDecoderBlock2D"] * 2, layers_per_block=1, norm_num_groups=8,
            latent_channels=3, use_quant_conv=False, use_post_quant_conv=False,
            mid_block_add_attention=False,
        ),
        height=3, width=4, blocks=[],
    )


if __name__ == "__main__":
    main()

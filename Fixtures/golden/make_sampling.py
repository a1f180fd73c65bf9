"""Writes the golden values of tokenizer, noise and schedulers that SamplingTests compare with.

    python make_sampling.py            (torch 2.13, diffusers 0.42.1, transformers 5.23)

tokenizer.json    numbers of many texts by transformers' CLIPTokenizer, for several tokenizer folders
noise.json        torch.randn of the CPU generator: seeds, sizes, successive draws
pipeline-*.png    pictures that PIL wrote, and one that claims to be enormous
schedulers.json   timesteps, sigmas and trajectories of diffusers' schedulers on a made-up model
scheduler-defaults.json   the same for configs without any key, and with one key that has an unusual value
"""
import json, math, os, struct, tempfile, warnings

warnings.filterwarnings("ignore")
os.environ["TRANSFORMERS_VERBOSITY"] = os.environ["DIFFUSERS_VERBOSITY"] = "error"
import diffusers, numpy as np, torch, transformers
from transformers import CLIPTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
MERGES = os.path.join(HERE, "../../Sources/CVocabulary/clip-merges.txt")
VERSIONS = dict(torch=torch.__version__, diffusers=diffusers.__version__, transformers=transformers.__version__)


def save(name, value):
    value = dict(format=1, made_by="make_sampling.py", versions=VERSIONS, **value)
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        # One line for each entry of a list, so that a change can be read.
        body = ",\n".join(
            f'"{k}": ' + ("[\n" + ",\n".join(json.dumps(x) for x in v) + "\n]" if isinstance(v, list) else json.dumps(v))
            for k, v in value.items())
        f.write("{\n" + body + "\n}\n")


def bits(values):
    """Float32 numbers as hexadecimal bit patterns: exact and compact."""
    return np.asarray(values, dtype="<f4").tobytes().hex()


# ---------------------------------------------------------------- tokenizer

TEXTS = [
    "", " ", "a photo of an astronaut riding a horse on mars", "A  Photo\tof\n  CAT!!!", "café naïve Ünïcödé",
    "cafe\u0301 nai\u0308ve", "it's the dog's 1234 toys", "I'll we've they're don't I'd I'm", "'tis 'twas rock'n'roll ''s !'s",
    "emoji 😀 日本語", "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽", "한국어 텍스트", "Привет, мир! ΑΒΓ ΣΑΣ", "İstanbul ISPARTA ẞ ﬁ ﬀ Ǆ",
    "<|startoftext|>hello<|endoftext|> world", "<|STARTOFTEXT|>hello<|EndOfText|>", "<|endoftext|", "a<|endoftext|>b!!<|endoftext|>!!",
    "<|endoftext|><|endoftext|>", "&amp; &lt;b&gt;", " leading and trailing  ", "snake_case, (paren:1.2) [x]", "½ Ⅷ ٣ ² ①",
    "\u00a0non\u2009breaking\u3000space\u200bzero\u0085next", "tab\x0bfeed\x0c\x1cend", "control\x00\x07chars", "a\u0301\u0302 \u0301alone",
    "word " * 100, "supercalifragilisticexpialidocious antidisestablishmentarianism", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "zzzzqqqqxxxx",
    "1girl, solo, ((masterpiece)), best quality, 8k, f/1.8, 35mm", "http://example.com/a?b=c&d=%20", "!!! ??? ... --- ___ ***",
    "! a ! b!c", "thethethe inthe nthe", "a red circle on a blue background", "a small yellow triangle in the upper left",
    "€ £ ¥ © ® ™ ° § ¶ † ‡ • … “quotes” ‘single’", "שלום עולם", "مرحبا بالعالم", "हिन्दी भाषा", "ไทย", "𝕳𝖊𝖑𝖑𝖔 𝒲ℴ𝓇𝓁𝒹", "ＦＵＬＬ　ｗｉｄｔｈ",
    "Å Å Ω K", "<cat-toy> on a table", "a <cat-toy>", "x<cat-toy>y <CAT-TOY>", "catty cat concat cat, a cat",
]


def byte_symbols():
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    rest = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(rest))]


def folder_of(merges, configs, extra_vocab=()):
    folder = tempfile.mkdtemp()
    symbols = byte_symbols()
    vocab = symbols + [s + "</w>" for s in symbols] + ["".join(m.split()) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocab = list(dict.fromkeys(vocab)) + list(extra_vocab)
    files = {"vocab.json": json.dumps({t: i for i, t in enumerate(vocab)}, ensure_ascii=False), "merges.txt": "#version: 0.2\n" + "\n".join(merges) + "\n"}
    files.update({k: json.dumps(v) for k, v in configs.items()})
    for name, text in files.items():
        open(os.path.join(folder, name), "w", encoding="utf-8").write(text)
    return folder


def added(content, normalized, special=None):
    token = dict(content=content, lstrip=False, normalized=normalized, rstrip=False, single_word=False)
    if special is not None:
        token["special"] = special
    return token


def tokenizers():
    full = open(MERGES, encoding="utf-8").read().split("\n")[1:-1]
    named = dict(bos_token=added("<|startoftext|>", True), eos_token=added("<|endoftext|>", True), unk_token=added("<|endoftext|>", True))
    typed = {k: dict(v, __type="AddedToken") for k, v in named.items()}
    config = dict(add_prefix_space=False, do_lower_case=True, errors="replace", model_max_length=77, tokenizer_class="CLIPTokenizer", **typed)
    sd1 = {"tokenizer_config.json": dict(config, pad_token="<|endoftext|>"), "special_tokens_map.json": dict(named, pad_token="<|endoftext|>")}
    sd2 = {"tokenizer_config.json": dict(config, pad_token="<|endoftext|>"), "special_tokens_map.json": dict(named, pad_token="!")}
    newer = {"tokenizer_config.json": dict(
        config, pad_token="!", bos_token="<|startoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>",
        added_tokens_decoder={"0": added("!", False, True), "49406": added("<|startoftext|>", True, True), "49407": added("<|endoftext|>", True, True),
                              "49408": dict(added("<cat-toy>", True, False)), "49409": dict(added("cat", False, False), single_word=True)}),
        "special_tokens_map.json": dict(pad_token="<|endoftext|>")}
    inverted = dict(sd1, **{"added_tokens.json": {"<cat-toy>": 49408}})
    bare = {"tokenizer_config.json": dict(model_max_length=20, tokenizer_class="CLIPTokenizer")}
    small = [m for m in full[:600] if m.isascii()]
    setups = [
        ("CLIP's vocabulary, files of Stable Diffusion 1", full, sd1, False), ("files of Stable Diffusion 2: padding '!'", full, sd2, False),
        ("added_tokens_decoder", full, newer, False), ("added_tokens.json", full, inverted, False), ("no special tokens map, 20 positions", full, bare, False),
        ("a small vocabulary", small, bare, False), ("a small vocabulary as tokenizer.json", small, bare, True),
    ]
    result = []
    for name, merges, configs, whole in setups:
        folder = folder_of(merges, configs)
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        files = {k: open(os.path.join(folder, k), encoding="utf-8").read() for k in os.listdir(folder)}
        if whole:
            folder = tempfile.mkdtemp()
            tokenizer.save_pretrained(folder)
            tokenizer = CLIPTokenizer.from_pretrained(folder)
            files = {k: open(os.path.join(folder, k), encoding="utf-8").read() for k in os.listdir(folder) if k in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")}
        elif merges is full:
            # The test puts the built-in vocabulary in their place.
            del files["vocab.json"], files["merges.txt"]
        if "tokenizer.json" in files:
            files["tokenizer.json"] = json.dumps(json.loads(files["tokenizer.json"]))
        ids = []
        for text in TEXTS:
            row = tokenizer(text, padding="max_length", max_length=tokenizer.model_max_length, truncation=True).input_ids
            # The padding, which fills up to the length, is left out.
            while len(row) > 1 and row[-1] == tokenizer.pad_token_id and row[-2] in (tokenizer.pad_token_id, tokenizer.eos_token_id) and len(row) > 2:
                row.pop()
            ids.append(row)
        result.append(dict(name=name, files=files, length=tokenizer.model_max_length, padding=tokenizer.pad_token_id, ids=ids))
    save("tokenizer.json", dict(texts=TEXTS, tokenizers=result))


# ---------------------------------------------------------------- noise

def noise():
    cases = []
    for seed, sizes in [
        (0, [1, 1, 2, 15]), (42, [16]), (42, [17]), (1, [31, 3, 16]), (7, [100]), (123456789, [3, 20, 2, 1]), (2**32 + 5, [33]),
        (2**63 + 12345, [15, 15]), (2**64 - 1, [18]), (42, [4 * 64 * 64]), (3, [2 * 4 * 8 * 8, 2 * 4 * 8 * 8]), (99, [100003]),
    ]:
        generator = torch.Generator("cpu").manual_seed(seed)
        draws = [torch.randn(size, generator=generator).numpy() for size in sizes]
        # Of long draws the two ends, and a checksum over all bits.
        cases.append(dict(seed=f"{seed}", sizes=sizes, draws=[bits(d if d.size <= 64 else np.concatenate([d[:32], d[-32:]])) for d in draws],
                          sums=[int(d.view(np.uint32).astype(np.uint64).sum()) for d in draws]))
    save("noise.json", dict(capability=torch.backends.cpu.get_cpu_capability(), cases=cases))


# ---------------------------------------------------------------- schedulers

CLASSES = dict(pndm=diffusers.PNDMScheduler, ddim=diffusers.DDIMScheduler, euler=diffusers.EulerDiscreteScheduler)
CLASSES["euler-a"] = diffusers.EulerAncestralDiscreteScheduler
CLASSES["dpm++2m"] = diffusers.DPMSolverMultistepScheduler
SD1 = dict(_class_name="PNDMScheduler", beta_start=.00085, beta_end=.012, beta_schedule="scaled_linear", num_train_timesteps=1000,
           set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1, clip_sample=False, trained_betas=None)


def model(x, t):
    """Stands in for a U-Net: smooth, bounded, different at every timestep; float64 inside."""
    x = np.asarray(x, dtype=np.float64)
    return (0.8 * x / (1 + np.abs(x)) + 0.1 * np.cos(0.01 * t + x)).astype(np.float32)


def trajectory(scheduler, steps):
    generator = torch.Generator("cpu").manual_seed(11)
    x = torch.randn((1, 4, 2, 3), generator=generator) * scheduler.init_noise_sigma
    path = []
    for t in scheduler.timesteps:
        given = scheduler.scale_model_input(x, t)
        out = torch.from_numpy(model(given.numpy(), float(t)))
        extra = dict(generator=generator) if "generator" in scheduler.step.__code__.co_varnames else {}
        x = scheduler.step(out, t, x, return_dict=False, **extra)[0]
        path.append(x)
    middle = path[len(path) // 2]
    return bits(middle.numpy()), bits(path[-1].numpy())


def entry(cls, name, steps, config):
    scheduler = cls.from_config(config)
    scheduler.set_timesteps(steps)
    try:
        middle, last = trajectory(scheduler, steps)
    except IndexError:  # diffusers 0.42.1 starts at the second of two equal timesteps and runs off the end
        middle, last = None, None
    sigmas = getattr(scheduler, "sigmas", None)
    init = float(scheduler.init_noise_sigma)
    return dict(name=name, steps=steps, config=config, timesteps=bits([float(t) for t in scheduler.timesteps]),
                sigmas=None if sigmas is None else bits(sigmas.numpy()), initial=init, middle=middle, last=last)


def schedulers():
    cases = []

    def case(name, steps, **changes):
        config = {**SD1, **changes}
        config = {k: v for k, v in config.items() if v != "absent"}
        cases.append(entry(CLASSES[name], name, steps, config))

    for name in CLASSES:
        for steps in (1, 2, 5, 20, 50):
            case(name, steps)
        for spacing in ("leading", "linspace", "trailing"):
            for steps in (1, 5, 20):
                case(name, steps, timestep_spacing=spacing)
            case(name, 20, timestep_spacing=spacing, prediction_type="v_prediction")
        if name in ("ddim", "euler", "dpm++2m"):
            case(name, 20, prediction_type="sample")
        if name != "pndm":
            case(name, 20, rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="v_prediction")
        case(name, 10, beta_schedule="linear", beta_start="absent", beta_end="absent", num_train_timesteps=400)
        case(name, 10, beta_schedule="squaredcos_cap_v2", steps_offset=0)
        case(name, 6, trained_betas=[0.001 * (i + 1) for i in range(100)], num_train_timesteps=100)
        case(name, 20, set_alpha_to_one=True, steps_offset=0)
        case(name, 20, clip_sample=True)
    case("ddim", 20, clip_sample="absent", set_alpha_to_one="absent")
    case("ddim", 10, clip_sample=True, clip_sample_range=0.5)
    for steps in (4, 5, 20):
        case("pndm", steps, skip_prk_steps=False)
    case("euler", 20, use_karras_sigmas=True)
    case("euler", 12, use_exponential_sigmas=True)
    case("euler", 12, use_karras_sigmas=True, sigma_min=0.1, sigma_max=10.0)
    case("euler", 12, final_sigmas_type="sigma_min")
    case("euler", 12, timestep_type="continuous", prediction_type="v_prediction")
    case("euler", 12, interpolation_type="log_linear")
    for steps in (1, 2, 5, 14, 15, 20, 50):
        case("dpm++2m", steps, use_karras_sigmas=True)
    case("dpm++2m", 12, use_exponential_sigmas=True)
    case("dpm++2m", 20, use_karras_sigmas=True, beta_schedule="squaredcos_cap_v2")
    case("dpm++2m", 20, euler_at_final=True, final_sigmas_type="sigma_min")
    case("dpm++2m", 20, final_sigmas_type="sigma_min")
    case("dpm++2m", 10, final_sigmas_type="sigma_min", lower_order_final=False)
    case("dpm++2m", 20, solver_type="heun")
    case("dpm++2m", 20, solver_order=1)
    case("dpm++2m", 10, beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1)
    for spacing in ("leading", "trailing"):
        case("dpm++2m", 10, beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1, timestep_spacing=spacing)
    save("schedulers.json", dict(cases=cases))


# Keys of a class with an unusual value, each with the other keys that it needs to have an effect.
COMMON = [({}, "num_train_timesteps", 500), ({}, "beta_start", 0.002), ({}, "beta_end", 0.016), ({}, "prediction_type", "v_prediction")]
SPACED = [({}, "timestep_spacing", "trailing"), ({}, "beta_schedule", "scaled_linear"), ({"timestep_spacing": "leading"}, "steps_offset", 1)]
RESCALED = [({"prediction_type": "v_prediction"}, "rescale_betas_zero_snr", True)]
KARRAS = [({}, "use_karras_sigmas", True), ({}, "use_exponential_sigmas", True), ({}, "final_sigmas_type", "sigma_min"),
          ({"use_karras_sigmas": True}, "sigma_min", 0.1), ({"use_karras_sigmas": True}, "sigma_max", 10.0)]
KEYS = {
    "pndm": COMMON + SPACED + [({}, "skip_prk_steps", True), ({}, "set_alpha_to_one", True)],
    "ddim": COMMON + SPACED + RESCALED + [({}, "clip_sample", False), ({}, "clip_sample_range", 0.5), ({}, "set_alpha_to_one", False)],
    "euler": COMMON + SPACED + RESCALED + KARRAS + [
        ({}, "interpolation_type", "log_linear"), ({"prediction_type": "v_prediction"}, "timestep_type", "continuous")],
    "euler-a": COMMON + SPACED + RESCALED,
    "dpm++2m": COMMON + SPACED + RESCALED + KARRAS + [
        ({}, "solver_order", 1), ({}, "solver_type", "heun"), ({"final_sigmas_type": "sigma_min"}, "lower_order_final", False),
        ({"final_sigmas_type": "sigma_min", "lower_order_final": False}, "euler_at_final", True),
        ({"beta_schedule": "squaredcos_cap_v2"}, "lambda_min_clipped", -5.1)],
    "lcm": COMMON + RESCALED + [
        ({}, "beta_schedule", "linear"), ({}, "original_inference_steps", 20), ({}, "timestep_scaling", 0.001),
        ({}, "clip_sample", True), ({"clip_sample": True}, "clip_sample_range", 0.5)],
}


def scheduler_defaults():
    cases = []
    for name, keys in KEYS.items():
        cls = diffusers.LCMScheduler if name == "lcm" else CLASSES[name]
        bases = []
        for base, key, value in keys:
            for config, changed in [(base, None), ({**base, key: value}, key)]:
                if changed is None and base in bases:
                    continue
                bases += [base]
                cases.append(dict(entry(cls, name, 4 if name == "lcm" else 8, config), base=base, key=changed))
    save("scheduler-defaults.json", dict(cases=cases))


# ---------------------------------------------------------------- pictures

def pictures():
    import zlib
    from PIL import Image, PngImagePlugin
    image = Image.fromarray((np.arange(45) * 5).astype(np.uint8).reshape(3, 5, 3))
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a caf\u00e9\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 5x3")
    info.add_itxt("note", "\u65e5\u672c\u8a9e")
    image.save(os.path.join(HERE, "pipeline-picture.png"), pnginfo=info)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    # Claims 60,000 x 60,000 pixels in a few bytes.
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    with open(os.path.join(HERE, "pipeline-large.png"), "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


if __name__ == "__main__":
    pictures()
    tokenizers()
    noise()
    schedulers()
    scheduler_defaults()

"""Loads files of Decant in other programs and compares one U-Net call, or one image, with Decant's.

    python Tests/Consumers/run.py --decant .build/release/decant [--comfyui FOLDER]
        [--comfyui-gguf FOLDER] [--sd-cli PROGRAM] [--families NAME,…] [--work FOLDER]

Writes a table in Markdown to WORK/consumers.md and to standard output. A program without its option is
left out. The exit code is 1 if Decant does not write a file for a program, or if the file does not load there,
lacks a key, or differs by more than its limit. Programs that models.json excuses for a family do not count.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
LIMITS = {"unet": 1e-4, "image": 40.0}  # largest relative RMS error; least PSNR in dB
IMAGE = dict(prompt="a red circle on a blue background", steps=2, seed=7, size=256)
CONSUMERS = {  # name -> its file, what it writes, the options that it needs
    "comfyui": ("comfyui.py", "unet", {"program": "comfyui"}),
    "comfyui-gguf": ("comfyui_gguf.py", "unet", {"program": "comfyui", "extension": "comfyui_gguf"}),
    "sdcpp": ("sdcpp.py", "image", {"program": "sd_cli"}),
    "diffusers": ("diffusers_files.py", "unet", {}),
    "sdnq": ("sdnq_folders.py", "unet", {}),
}


class Decant:
    """Runs the program; its refusals are values."""

    def __init__(self, path):
        self.path = str(pathlib.Path(path).resolve())

    def run(self, *arguments):
        """Returns the message of a refusal (exit code 2), or None. Other failures are errors."""
        command = [self.path, *map(str, arguments), "--threads", "1", "--quiet", "--force"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return None
        message = (done.stderr.strip().splitlines() or [""])[-1]
        if done.returncode != 2:
            raise RuntimeError(f"exit code {done.returncode}: {message}")
        return message

    def must(self, *arguments):
        message = self.run(*arguments)
        if message is not None:
            raise SystemExit(f"{' '.join(map(str, arguments))}\n{message}")


def unet_inputs(folder):
    """Random inputs of one U-Net call for a diffusers folder, and the width of an embedded time id."""
    config = json.loads((folder / "unet" / "config.json").read_text())
    random = np.random.default_rng(1)

    def normal(*shape):
        return random.standard_normal(shape, dtype=np.float32)

    inputs = dict(
        sample=normal(1, config["in_channels"], 16, 16),
        timestep=np.array([501], np.float32),
        encoder_hidden_states=normal(1, 77, config["cross_attention_dim"]))
    width = config.get("addition_time_embed_dim")
    if width:
        text = json.loads((folder / "text_encoder_2" / "config.json").read_text())
        pooled = text["projection_dim"]
        count = (config["projection_class_embeddings_input_dim"] - pooled) // width
        inputs["text_embeds"] = normal(1, pooled)
        inputs["time_ids"] = np.array([[256, 256, 0, 0, 256, 256][:count]], np.float32)
    return inputs, width


def expected_unet(decant, request, work):
    output = work / "expected.safetensors"
    decant.must("forward", request["file"], "--component", "unet", "--inputs", request["inputs"], "-o", output)
    return load_file(output)["sample"]


def expected_image(decant, request, work):
    """Decant's image with the timesteps of stable-diffusion.cpp, which are diffusers' "linspace"."""
    folder, output = work / "linspace", work / "expected.png"
    decant.must("convert", request["file"], "-o", f"{folder}/", "--type", "f32")
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"timestep_spacing": "linspace"}))
    decant.must(
        "generate", folder, "-p", request["prompt"], "--steps", request["steps"], "--seed", request["seed"],
        "-W", request["size"], "-H", request["size"], "--guidance-scale", 1, "--scheduler", "euler", "-o", output)
    shutil.rmtree(folder)
    return np.asarray(Image.open(output).convert("RGB"), np.float64)


def difference(kind, found, expected):
    """The relative RMS error of tensors, or the PSNR of images in dB. Both have one shape."""
    error = np.mean((found - expected) ** 2)
    if kind == "unet":
        return float(np.sqrt(error / np.mean(expected**2)))
    return float(10 * np.log10(255**2 / error)) if error > 0 else float("inf")


def ask(script, request, path):
    """Runs one check in a process of its own; returns the answer and its peak memory in bytes."""
    path.write_text(json.dumps(request))
    with open(path.with_suffix(".log"), "wb") as log:
        process = subprocess.Popen(
            [sys.executable, HERE / script, path], stdout=log, stderr=subprocess.STDOUT,
            cwd=path.parent, env=os.environ | {"OMP_NUM_THREADS": "1"})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    answer = json.loads(path.read_text()).get("answer")
    if answer is None:
        answer = dict(
            loads=False, reason=f"exit code {process.returncode}", missing=[], unexpected=[], version="")
    return answer, usage.ru_maxrss * 1024


def shown_keys(names):
    return "0" if not names else f"{len(names)}: `{names[0].rpartition(' ')[2]}`" + (", …" if len(names) > 1 else "")


def compared(kind, found, expected, limit):
    """The difference for the table, and whether it is within the limit."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        return f"found {list(found.shape)}, expected {list(expected.shape)}", False
    value = difference(kind, found, expected)
    if kind == "unet":
        return f"{value:.1e}", value <= limit
    return f"{value:.1f} dB", value >= limit


def is_excused(entry, consumer, form):
    """Whether `not_for` of a family names the program, or the program and the beginning of the form's name."""
    excuses = [excuse.partition(": ") for excuse in entry.get("not_for", [])]
    return any(name == consumer and form.startswith(beginning) for name, _, beginning in excuses)


def byte_count(path):
    """The bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())


def check_form(decant, programs, family, entry, form, folder, work):
    """Writes one file, asks every program for it, and yields the rows of the table and whether each is good."""
    name, facts = form
    file = work / facts["file"]
    values = {"folder": str(folder), "file": str(file), "family": family}
    consumers = [consumer for consumer in facts["consumers"] if consumer in programs]
    if not consumers:
        return
    refusal = decant.run(*[part.format(**values) for part in facts["command"]])
    if refusal is not None:
        # The first program is the one that the form is for.
        yield (f"| {family} | {name} | – | – | not written: {refusal.removeprefix('decant: ')} | | | | |",
               is_excused(entry, facts["consumers"][0], name))
        return
    inputs, width = unet_inputs(folder)
    save_file(inputs, work / "inputs.safetensors")
    size, expected = byte_count(file), {}
    for consumer in consumers:
        script, kind, _ = CONSUMERS[consumer]
        output = work / ("found.safetensors" if kind == "unet" else "found.png")
        output.unlink(missing_ok=True)
        request = programs[consumer] | IMAGE | {
            "file": str(file), "folder": str(folder), "inputs": str(work / "inputs.safetensors"),
            "time_embedding_width": width, "output": str(output)}
        answer, peak = ask(script, request, work / f"{consumer}.json")
        shown, is_near = "–", False
        if answer["loads"]:
            if kind not in expected:
                expected[kind] = (expected_unet if kind == "unet" else expected_image)(decant, request, work)
            found = load_file(output)["sample"] if kind == "unet" else Image.open(output).convert("RGB")
            limit = facts.get("limit", {}).get(kind, LIMITS[kind])
            shown, is_near = compared(kind, found, expected[kind], limit)
        is_good = answer["loads"] and not answer["missing"] and is_near
        is_expected = is_good or is_excused(entry, consumer, name)
        loads = "yes" if answer["loads"] else f"no: {answer['reason'].splitlines()[0][:120].replace('|', '/')}"
        yield (
            f"| {family} | {name} | {size / 1e9:.2f} GB | {answer['version'] or consumer} | {loads} "
            f"| {shown_keys(answer['missing'])} | {shown_keys(answer['unexpected'])} "
            f"| {shown} | {peak / 1e9:.2f} GB |"), is_expected
    shutil.rmtree(file) if file.is_dir() else file.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decant", required=True)
    parser.add_argument("--comfyui", help="a checkout of ComfyUI")
    parser.add_argument("--comfyui-gguf", help="a checkout of ComfyUI-GGUF; needs --comfyui")
    parser.add_argument("--sd-cli", help="the program sd-cli of stable-diffusion.cpp")
    parser.add_argument("--families", default="", help="names of models.json, with commas or spaces")
    parser.add_argument("--work", default=".build/consumers", help="a folder for files of the run")
    arguments = parser.parse_args()
    options = {name: str(pathlib.Path(path).expanduser().resolve())
               for name in ("comfyui", "comfyui_gguf", "sd_cli") if (path := getattr(arguments, name))}
    for name, path in options.items():
        if not pathlib.Path(path).exists():
            parser.error(f"--{name.replace('_', '-')}: no such file or folder: {path}")
    programs = {consumer: {key: options[option] for key, option in needs.items()}
                for consumer, (_, _, needs) in CONSUMERS.items() if set(needs.values()) <= set(options)}
    models = json.loads((HERE / "models.json").read_text())
    chosen = arguments.families.replace(",", " ").split() or [
        name for name, entry in models["families"].items() if entry.get("default")]
    if unknown := set(chosen) - set(models["families"]):
        parser.error(f"not in models.json: {', '.join(sorted(unknown))}")
    decant, work = Decant(arguments.decant), pathlib.Path(arguments.work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    lines = ["| family | form | file | program | loads | missing keys | unexpected keys | difference | peak memory |",
             "|---|---|---|---|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    bad = 0
    for family in chosen:
        entry = models["families"][family]
        folder = HERE.parents[1] / entry["folder"] if "folder" in entry else work / family
        if "folder" not in entry:
            decant.must(*[part.format(family=family, folder=f"{folder}/") for part in models["source"]])
        for form in models["forms"].items():
            for line, is_good in check_form(decant, programs, family, entry, form, folder, work):
                lines.append(line)
                bad += not is_good
                print(line, flush=True)
        if "folder" not in entry:
            shutil.rmtree(folder)
    skipped = [consumer for consumer in CONSUMERS if consumer not in programs]
    lines += ["", f"{time.strftime('%Y-%m-%d')}. Difference: relative RMS error of one U-Net call, or PSNR of an image of two "
              "steps, compared with Decant on the same file."]
    if skipped:
        lines.append(f"Left out: {', '.join(skipped)}.")
    (work / "consumers.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines[-2:] if skipped else lines[-1:]))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

"""Times conversions of a full-size model beside a plain copy of it, with the page cache warm.

    python Tests/Bench/conversions.py --decant .build/release/decant

Prints a table in Markdown: wall and processor seconds, and the wall's ratio to `cp` of the input with
a write of the output's size. With `--sd-cli`, stable-diffusion.cpp's program, its conversions stand beside ours.
"""

import argparse
import pathlib
import resource
import shutil
import subprocess
import tempfile
import time


def size_of(path):
    path = pathlib.Path(path)
    return path.stat().st_size if path.is_file() else sum(
        file.stat().st_size for file in path.rglob("*") if file.is_file())


def timed(command, target, rounds, sizes=None):
    """The least wall time of some rounds, and its processor seconds; `target` is removed again."""
    times = []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(
            (wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
        if sizes is not None:
            sizes[target] = size_of(target)
        remove(target)
    return min(times)


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--decant", required=True)
    parser.add_argument("--family", default="sd-v1-4")
    parser.add_argument("--folder", help="a diffusers folder in float32; else one is made")
    parser.add_argument("--workspace", help="a folder on the disk to measure")
    parser.add_argument("--sd-cli", help="stable-diffusion.cpp's program, to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.workspace) as temporary:
        work = pathlib.Path(temporary)
        single = work / "f32"
        if arguments.folder:
            single = pathlib.Path(arguments.folder)
        else:
            subprocess.run(
                [arguments.decant, "synthesize", "--family", arguments.family, "-o", single, "--quiet"],
                check=True)
        half = work / "f16"
        subprocess.run(
            [arguments.decant, "convert", single, "-o", half, "--type", "f16", "--quiet"],
            check=True, stdout=subprocess.DEVNULL)
        decant = [arguments.decant]
        jobs = [
            ("f32 folder to f16 .decant, not coded", single, "a.decant",
             decant, ["convert", "--type", "f16", "--no-coding"]),
            ("f32 folder to f16 .decant, coded", single, "b.decant",
             decant, ["convert", "--type", "f16"]),
            ("f32 folder to .decant, every bit kept, coded", single, "c.decant", decant, ["convert"]),
            ("f32 folder to f16 folder", single, "d", decant, ["convert", "--type", "f16"]),
            ("f32 folder to f16 single file", single, "e.safetensors",
             decant, ["convert", "--type", "f16"]),
            ("f16 folder to int8 .decant, not coded", half, "f.decant",
             decant, ["quantize", "--type", "int8", "--no-coding"]),
            ("the same by plain rounding", half, "g.decant",
             decant, ["quantize", "--type", "int8", "--method", "round", "--no-coding"]),
            ("f16 folder to int8 .decant, coded", half, "h.decant",
             decant, ["quantize", "--type", "int8"]),
            ("f32 folder to f16 GGUF", single, "i.gguf", decant, ["convert", "--type", "f16"]),
            ("f16 folder to Q8_0 GGUF, plain rounding", half, "j.gguf",
             decant, ["quantize", "--type", "int8-g32", "--method", "round"]),
            ("f16 folder to Q8_0 GGUF", half, "k.gguf", decant, ["quantize", "--type", "int8-g32"]),
        ]
        if arguments.sd_cli:
            jobs += [
                ("stable-diffusion.cpp: f32 folder to f16 GGUF", single, "l.gguf",
                 [arguments.sd_cli, "-M", "convert"], ["--type", "f16"]),
                ("stable-diffusion.cpp: f16 folder to Q8_0 GGUF", half, "m.gguf",
                 [arguments.sd_cli, "-M", "convert"], ["--type", "q8_0"]),
            ]
        copies = {}
        for source in (single, half):
            target = work / "copy"
            wall, processor = timed(["cp", "-r", source, target], target, arguments.rounds)
            copies[source] = wall
            print(f"cp of the {source.name} folder, {size_of(source) / 1e9:.2f} GB: "
                  f"{wall:.1f} s, {processor:.1f} CPU s\n", flush=True)
        print("| conversion | output | wall s | CPU s | of `cp` |\n|---|---|---|---|---|")
        sizes = {}
        for name, source, output, program, words in jobs:
            target = work / output
            if program == decant:
                command = [*program, words[0], source, "-o", target, "--quiet", *words[1:]]
            else:
                command = [*program, "-m", source, "-o", target, *words]
            wall, processor = timed(command, target, arguments.rounds, sizes)
            print(f"| {name} | {sizes[target] / 1e9:.2f} GB | {wall:.1f} | {processor:.1f} "
                  f"| {wall / copies[source]:.2f} |", flush=True)


if __name__ == "__main__":
    main()

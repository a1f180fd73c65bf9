"""Compares the time of conversions of a full-size model with a copy of it, with a warm page cache.

    python Tests/Bench/conversions.py --decant .build/release/decant

Prints a table in Markdown: wall and processor seconds of the round with the least wall time, and the
ratio of the wall time to `cp` of the input. With `--sd-cli PROGRAM` the table includes conversions
by stable-diffusion.cpp.
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


def timed(command, target, rounds):
    """Returns wall and processor seconds of the fastest round, and the size of its output.

    Removes the output at `target` after each round.
    """
    times = []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        times.append((wall, processor, size_of(target)))
        remove(target)
    return min(times)


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--decant", required=True)
    parser.add_argument("--family", default="sd-v1-4")
    parser.add_argument("--folder", help="a diffusers folder in float32; default: a synthesized one")
    parser.add_argument("--workspace", help="a folder on the disk to measure")
    parser.add_argument("--sd-cli", help="the program sd-cli of stable-diffusion.cpp")
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
                check=True, stdout=subprocess.DEVNULL)
        half = work / "f16"
        subprocess.run(
            [arguments.decant, "convert", single, "-o", half, "--type", "f16", "--quiet"],
            check=True, stdout=subprocess.DEVNULL)
        def ours(command, *options):
            return lambda source, target: [
                arguments.decant, command, source, "-o", target, "--quiet", *options]

        def theirs(kind):
            return lambda source, target: [
                arguments.sd_cli, "-M", "convert", "-m", source, "-o", target, "--type", kind]

        jobs = [
            ("f32 folder to f16 .decant, not coded", single, "a.decant",
             ours("convert", "--type", "f16", "--no-coding")),
            ("f32 folder to f16 .decant, coded", single, "b.decant", ours("convert", "--type", "f16")),
            ("f32 folder to .decant, every bit kept, coded", single, "c.decant", ours("convert")),
            ("f32 folder to f16 folder", single, "d", ours("convert", "--type", "f16")),
            ("f32 folder to f16 single file", single, "e.safetensors",
             ours("convert", "--type", "f16")),
            ("f16 folder to int8 .decant, not coded", half, "f.decant",
             ours("quantize", "--type", "int8", "--no-coding")),
            ("the same, rounded to nearest", half, "g.decant",
             ours("quantize", "--type", "int8", "--method", "round", "--no-coding")),
            ("f16 folder to int8 .decant, coded", half, "h.decant", ours("quantize", "--type", "int8")),
            ("f32 folder to f16 GGUF", single, "i.gguf", ours("convert", "--type", "f16")),
            ("f16 folder to Q8_0 GGUF, rounded to nearest", half, "j.gguf",
             ours("quantize", "--type", "int8-g32", "--method", "round")),
            ("f16 folder to Q8_0 GGUF", half, "k.gguf", ours("quantize", "--type", "int8-g32")),
        ]
        if arguments.sd_cli:
            jobs += [
                ("stable-diffusion.cpp: f32 folder to f16 GGUF", single, "l.gguf", theirs("f16")),
                ("stable-diffusion.cpp: f16 folder to Q8_0 GGUF", half, "m.gguf", theirs("q8_0")),
            ]
        copies = {}
        for source in (single, half):
            target = work / "copy"
            wall, processor, size = timed(["cp", "-r", source, target], target, arguments.rounds)
            copies[source] = wall
            print(f"cp of the {source.name} folder, {size / 1e9:.2f} GB: "
                  f"{wall:.1f} s, {processor:.1f} CPU s\n", flush=True)
        print("| conversion | output | wall s | CPU s | of `cp` |\n|---|---|---|---|---|")
        for name, source, output, command in jobs:
            target = work / output
            wall, processor, size = timed(command(source, target), target, arguments.rounds)
            print(f"| {name} | {size / 1e9:.2f} GB | {wall:.1f} | {processor:.1f} "
                  f"| {wall / copies[source]:.2f} |", flush=True)


if __name__ == "__main__":
    main()

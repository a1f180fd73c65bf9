"""Times conversions of a full-size model beside a plain copy of it, with the page cache warm.

    python Tests/Bench/conversions.py --decant .build/release/decant

Prints a table in Markdown: wall and processor seconds, and the wall's ratio to `cp` of the input with
a write of the output's size.
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


def timed(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--decant", required=True)
    parser.add_argument("--family", default="sd-v1-4")
    parser.add_argument("--folder", help="a diffusers folder in float32; else one is made")
    parser.add_argument("--workspace", help="a folder on the disk to measure")
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
        jobs = [
            ("f32 folder to f16 .decant, not coded", single, "a.decant",
             ["convert", "--type", "f16", "--no-coding"]),
            ("f32 folder to f16 .decant, coded", single, "b.decant", ["convert", "--type", "f16"]),
            ("f16 folder to int8 .decant, not coded", half, "c.decant",
             ["quantize", "--type", "int8", "--no-coding"]),
            ("f16 folder to int8 .decant, coded", half, "d.decant", ["quantize", "--type", "int8"]),
            ("f32 folder to f16 single file", single, "e.safetensors",
             ["convert", "--type", "f16"]),
        ]
        copies = {}
        for source in (single, half):
            target = work / "copy"
            wall, processor = timed(["cp", "-r", source, target])
            copies[source] = wall
            remove(target)
            print(f"cp of the {source.name} folder, {size_of(source) / 1e9:.2f} GB: "
                  f"{wall:.1f} s, {processor:.1f} CPU s\n", flush=True)
        print("| conversion | output | wall s | CPU s | of `cp` |\n|---|---|---|---|---|")
        for name, source, output, words in jobs:
            target = work / output
            command, *options = words
            wall, processor = timed(
                [arguments.decant, command, source, "-o", target, "--quiet", *options])
            print(f"| {name} | {size_of(target) / 1e9:.2f} GB | {wall:.1f} | {processor:.1f} "
                  f"| {wall / copies[source]:.2f} |", flush=True)
            remove(target)


if __name__ == "__main__":
    main()

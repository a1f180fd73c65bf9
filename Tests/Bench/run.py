"""Measures everything that the README quotes and writes the table of results.

    python Tests/Bench/run.py --decant .build/release/decant --output Formats/measurements.md
"""

import argparse
import datetime
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
STEPS = [
    ("sd-v1-4", "512x512", ["--stored", "--parts", "--openvino"]),
    ("sdxl-base-1.0", "512x512", ["--rounds", "1"]),
    ("sdxl-base-1.0", "1024x1024", ["--rounds", "1", "--one-thread"]),
    ("ssd-1b", "512x512", ["--rounds", "1"]),
    ("ssd-1b", "1024x1024", ["--rounds", "1", "--one-thread"]),
]


def kernels(decant):
    text = subprocess.run(
        [decant, "bench", "--kernels", "--threads", "1", "--json", "--quiet"],
        check=True, capture_output=True, text=True).stdout
    facts = json.loads(text)
    lines = ["| operation | compute | ms | GFLOP/s | of the peak |", "|---|---|---|---|---|"]
    for row in facts["kernels"]:
        lines.append(
            f"| {row['name']} | {row['compute']} | {1000 * row['seconds']:.3g} "
            f"| {2e-9 * row['products_per_second']:.0f} | {100 * row['share_of_peak']:.0f} % |")
    coding = ["| lossless coding | encoding, MB/s | decoding, MB/s | in the file |", "|---|---|---|---|"]
    for row in facts["coding"]:
        coding.append(
            f"| {row['name']} | {1e-6 * row['bytes_encoded_per_second']:.0f} "
            f"| {1e-6 * row['bytes_decoded_per_second']:.0f} | {100 * row['share']:.1f} % |")
    return facts["machine"], "\n".join(lines), "\n".join(coding)


def output_of(script, *arguments):
    print(script, *arguments, file=sys.stderr, flush=True)
    text = subprocess.run(
        [sys.executable, str(HERE / script), *arguments], check=True, stdout=subprocess.PIPE,
        text=True).stdout
    # Without the bars of NNCF's progress.
    return "\n".join(line for line in text.splitlines() if "━" not in line).strip()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--decant", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--families", help="only these, joined by commas")
    parser.add_argument("--sd-cli", help="stable-diffusion.cpp's program, to compare conversions with")
    arguments = parser.parse_args()
    machine, table, coding = kernels(arguments.decant)
    chosen = arguments.families.split(",") if arguments.families else None
    parts = [
        "# Measurements",
        f"Written by `make bench` on {datetime.date.today()}: {machine}. Seconds are of the processor and of "
        "one thread, the least of some rounds, unless a line says otherwise; models have random "
        "weights. Ratios are within one run.",
        "## Kernels\n\nGFLOP/s as the direct way counts them: Winograd's form takes a quarter of the "
        "products, and so passes the peak.\n\n" + table,
        "## Lossless coding\n\nOf a tensor's own bytes a core, checksums and the file included.\n\n" + coding,
        "## Steps",
    ]

    def write():
        """What there is so far: an hour's work is not lost with its last minute."""
        pathlib.Path(arguments.output).write_text("\n\n".join(parts) + "\n")

    for family, size, options in STEPS:
        if chosen is None or family in chosen:
            text = output_of(
                "steps.py", "--decant", arguments.decant, "--family", family, "--size", size, *options)
            parts.append(f"### {text}")
            write()
    parts.append(
        "## Conversions\n\n" + output_of(
            "conversions.py", "--decant", arguments.decant,
            *(["--sd-cli", arguments.sd_cli] if arguments.sd_cli else [])))
    write()


if __name__ == "__main__":
    main()

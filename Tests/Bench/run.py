"""Measures kernels, U-Net steps and conversions, and writes the tables.

    python Tests/Bench/run.py --decant .build/release/decant --output Tests/Bench/measurements.md

Keeps the text of the output file up to the line MARK and replaces everything after it.
"""

import argparse
import datetime
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
MARK = "<!-- make bench replaces everything below this line. -->"
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
    # Leaves out the progress bars of NNCF.
    return "\n".join(line for line in text.splitlines() if "━" not in line).strip()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--decant", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--families", help="measure only these families, separated by commas")
    parser.add_argument("--sd-cli", help="the program sd-cli of stable-diffusion.cpp")
    arguments = parser.parse_args()
    machine, table, coding = kernels(arguments.decant)
    chosen = arguments.families.split(",") if arguments.families else None
    output = pathlib.Path(arguments.output)
    kept = output.read_text() if output.exists() else "# Measurements\n"
    parts = [
        kept.split(MARK)[0].rstrip(),
        MARK,
        "## What make bench measures",
        f"{datetime.date.today()}: {machine}. Processor seconds of one thread, the least of some rounds, "
        "unless a line says otherwise. Models have random weights. Ratios are within one run.",
        "### Kernels\n\nGFLOP/s count the products of a direct convolution. Winograd's method needs a "
        "quarter of them, so its rate can exceed the peak.\n\n" + table,
        "### Lossless coding\n\nBytes of the uncoded tensor a second and core, with checksums and the "
        "file.\n\n" + coding,
    ]

    def write():
        """Writes the parts so far, so that a failure late in the run loses little."""
        output.write_text("\n\n".join(parts) + "\n")

    for family, size, options in STEPS:
        if chosen is None or family in chosen:
            text = output_of(
                "steps.py", "--decant", arguments.decant, "--family", family, "--size", size, *options)
            parts.append(f"### {text}")
            write()
    parts.append(
        "### Conversions\n\n" + output_of(
            "conversions.py", "--decant", arguments.decant,
            *(["--sd-cli", arguments.sd_cli] if arguments.sd_cli else [])))
    write()


if __name__ == "__main__":
    main()

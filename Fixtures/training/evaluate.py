"""Measures on the pictures how well a miniature paints what its held-out prompts ask for.

    evaluate.py mini-sd                      # the fixture itself, painted by diffusers
    evaluate.py mini-sd --model FOLDER       # another diffusers folder
    evaluate.py mini-sd --pictures FOLDER    # 000.png, 001.png, ... painted by another program
    evaluate.py mini-sd --self-test          # the measure, on true drawings

A picture has its background right if the colour asked for is the most frequent of the palette
outside the objects; the colours if it is the most frequent inside each object; shape and place
if, of the eight shapes drawn at the size and the place asked for, the one asked for covers the
painted object best, and well enough. With --crop, SDXL's crop conditioning, the places asked for
move with the crop, and objects that it cuts are not judged.
"""

import argparse
import dataclasses
import functools
import json
import os
import random

import numpy as np
from PIL import Image

from miniature import read_miniature, read_pipeline
from shapes import COLORS, SHAPES, SIDE, Framing, Scene, Shape, parse, render

# The bounds of what counts as right.
GROUND_SHARE = 0.6  # of the pixels outside the objects
COLOR_SHARE = 0.5  # of the pixels inside an object
OVERLAP = 0.6  # intersection over union with the best template
DRIFT = 4  # pixels between the centres of the painted and the asked shape
EDGE = 6  # an object nearer than this to the border of a crop is not judged
SHIFTS = range(-3, 4)
GROWTHS = (-1, 0, 1)
NAMES = list(COLORS)


def lab(pixels):
    """CIE L*a*b* of sRGB values from 0 to 255."""
    value = np.asarray(pixels, np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    matrix = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = linear @ np.array(matrix).T / [0.95047, 1, 1.08883]
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


PALETTE = lab(list(COLORS.values()))


def distance(left, right):
    return np.linalg.norm(left - right, axis=-1)


def most_frequent(colors):
    """The palette colour that most of the colours are nearest to, and its share."""
    if not len(colors):
        return None, 0.0
    nearest = distance(colors[:, None], PALETTE).argmin(1)
    counts = np.bincount(nearest, minlength=len(NAMES))
    best = int(counts.argmax())
    return NAMES[best], counts[best] / len(colors)


def mask_of(item):
    scene = Scene("white", (dataclasses.replace(item, color="black"),), "")
    return np.asarray(render(scene))[..., 0] < 128


@functools.cache
def templates(x, y, radius):
    """Masks of each shape at a place, moved and grown by a few pixels: (names, flat masks)."""
    names, masks = [], []
    for shape in SHAPES:
        for growth in GROWTHS:
            mask = mask_of(Shape("black", shape, x, y, radius + growth))
            for dx in SHIFTS:
                for dy in SHIFTS:
                    names.append(shape)
                    masks.append(np.roll(mask, (dy, dx), (0, 1)).ravel())
    return names, np.array(masks, np.float32)


def grow(mask, by):
    """The mask with all pixels nearer than `by` to it (shrunk if negative)."""
    if by < 0:
        return ~grow(~mask, -by)
    padded = np.pad(mask, by)
    moves = [(dy, dx) for dy in range(2 * by + 1) for dx in range(2 * by + 1)]
    return np.any([padded[dy:, dx:][: mask.shape[0], : mask.shape[1]] for dy, dx in moves], 0)


def part_of(scene, item):
    """The part of the picture in which an object is looked for: what is nearest to its place."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    # A place as near to two objects is the later one's.
    items = scene.shapes[::-1]
    reach = [(columns - other.x) ** 2 + (rows - other.y) ** 2 for other in items]
    return np.argmin(reach, 0) == items.index(item)


def shown(scene, framing, side):
    """The scene as a crop shows it; objects whose centre is cut off, or nearly, are left out."""
    unit = side / SIDE
    moved = [
        dataclasses.replace(item, x=item.x - framing.left / unit, y=item.y - framing.top / unit)
        for item in scene.shapes
    ]
    whole = tuple(item for item in moved if min(item.x, item.y) >= EDGE)
    return dataclasses.replace(scene, shapes=whole)


def judge(picture, scene):
    """What a picture (an RGB image) has right of the scene asked for, and what was seen."""
    if picture.size != (SIDE, SIDE):
        picture = picture.resize((SIDE, SIDE), Image.BOX)
    colors = lab(np.asarray(picture.convert("RGB")))
    asked = np.any([grow(mask_of(item), 3) for item in scene.shapes], 0)
    outside = colors[~asked]
    ground, share = most_frequent(outside)
    nearest = distance(outside[:, None], PALETTE).argmin(1)
    ground_color = np.median(outside[nearest == NAMES.index(ground)], 0)
    verdict = {
        "background": ground == scene.background and share >= GROUND_SHARE,
        "colors": True,
        "shapes": True,
        "seen": [ground],
    }
    for item in scene.shapes:
        color, shape, fit = look(colors, ground_color, part_of(scene, item), item)
        verdict["colors"] &= color == item.color
        verdict["shapes"] &= shape == item.shape
        verdict["seen"].append(f"{color} {shape} {fit:.2f}")
    return verdict


def judge_all(pictures, scenes):
    return [judge(picture, scene) for picture, scene in zip(pictures, scenes, strict=True)]


def look(colors, ground, part, item):
    """The colour and the shape of the object in a part of the picture."""
    painted = part & (distance(colors, ground) > 16)
    core = grow(painted, -1)
    core = core if core.sum() >= 6 else painted
    if core.sum() < 6:
        return None, None, 0.0
    color, share = most_frequent(colors[core])
    color = color if share >= COLOR_SHARE else None
    # An edge pixel is the object's if it is nearer to its colour than to the background's.
    middle = np.median(colors[core], 0)
    painted &= distance(colors, middle) < np.maximum(distance(colors, ground), 16)
    names, masks = templates(item.x, item.y, item.radius)
    masks = masks * part.ravel()
    common = masks @ painted.ravel().astype(np.float32)
    fits = common / (masks.sum(1) + painted.sum() - common)
    best = int(fits.argmax())
    near = drift(painted, mask_of(item) & part) <= DRIFT
    shape = names[best] if near and fits[best] >= OVERLAP else None
    return color, shape, float(fits[best])


def drift(left, right):
    if not left.any() or not right.any():
        return float("inf")
    return float(np.linalg.norm(np.argwhere(left).mean(0) - np.argwhere(right).mean(0)))


def report(verdicts, prompts, misses=False):
    """A table of the shares that are right, and one line of JSON."""

    def share(name, which):
        chosen = [v for v, caption in zip(verdicts, prompts, strict=True) if which(caption)]
        return sum(bool(v[name]) for v in chosen) / max(1, len(chosen)), len(chosen)

    groups = {
        "all": lambda _: True,
        "one object": lambda caption: len(parse(caption).shapes) == 1,
        "two objects": lambda caption: len(parse(caption).shapes) == 2,
        "three objects": lambda caption: len(parse(caption).shapes) == 3,
        "tiny": lambda caption: " tiny " in caption,
    }
    for verdict in verdicts:
        verdict["everything"] = verdict["background"] and verdict["colors"] and verdict["shapes"]
    names = ("background", "colors", "shapes", "everything")
    print(f"{'':14}{'count':>7}" + "".join(f"{name:>12}" for name in names))
    for group, which in groups.items():
        count = share("background", which)[1]
        if not count:
            continue
        cells = "".join(f"{share(name, which)[0]:12.1%}" for name in names)
        print(f"{group:14}{count:7}{cells}")
    if misses:
        for index, (verdict, caption) in enumerate(zip(verdicts, prompts, strict=True)):
            if not verdict["everything"]:
                wrong = [name for name in names[:3] if not verdict[name]]
                print(f"{index:03} {caption}: {', '.join(wrong)}; seen {verdict['seen']}")
    totals = {name: round(share(name, groups["all"])[0], 4) for name in names}
    print(json.dumps({"pictures": len(verdicts), **totals}))
    return totals


def paint(mini, folder, prompts, options, batch=16):
    """The pictures that diffusers paints, the seed of each being its index."""
    import torch

    torch.set_num_threads(options.threads)
    pipe = read_pipeline(mini, folder).to(options.device)
    pictures = []
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        seeds = [torch.Generator().manual_seed(start + i) for i in range(len(part))]
        done = pipe(
            part,
            num_inference_steps=mini.steps,
            guidance_scale=options.guidance_scale or mini.guidance_scale,
            generator=seeds,
            **({"crops_coords_top_left": tuple(options.crop)} if any(options.crop) else {}),
        )
        pictures += done.images
    return pictures


def self_test(mini, folder):
    """Judges true drawings: of the prompts, of 400 more scenes, and both after the VAE."""
    import torch

    from dataset import encode_images, read_vae

    rng = random.Random(3)
    scenes = [parse(caption) for caption in mini.held_out()]
    scenes += [mini.describe(rng) for _ in range(400)]
    prompts = [scene.caption for scene in scenes]
    pictures = [render(scene, mini.side) for scene in scenes]
    scenes = [parse(caption) for caption in prompts]  # without the jitter of the drawings
    print("drawings")
    plain = report(judge_all(pictures, scenes), prompts, True)
    vae = read_vae(folder)
    pixels = torch.stack([torch.from_numpy(np.array(p)).permute(2, 0, 1) for p in pictures])
    with torch.no_grad():
        back = torch.cat([vae.decode(z).sample for z in encode_images(vae, pixels).split(32)])
    back = ((back / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    print("drawings that went through the VAE")
    pictures = [Image.fromarray(picture) for picture in back]
    coded = report(judge_all(pictures, scenes), prompts, True)
    print("drawings with the caption of another: all should be wrong")
    other = scenes[1:] + scenes[:1]
    report(judge_all(pictures, other), [scene.caption for scene in other])
    # What the VAE blurs (tiny stars become diamonds) no U-Net can mend: the second is a ceiling.
    if plain["everything"] < 0.99 or coded["everything"] < 0.93:
        raise SystemExit("the measure does not recognize true drawings")


def contact_sheet(pictures, path, columns=12):
    side = pictures[0].width
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * side, rows * side))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % columns * side, i // columns * side))
    sheet.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("miniature", help="mini-sd or mini-sdxl")
    parser.add_argument("--model", help="diffusers folder; default: the fixture")
    parser.add_argument("--pictures", help="folder with 000.png, 001.png, ...")
    parser.add_argument("--count", type=int, help="number of prompts, from the first")
    parser.add_argument("--guidance-scale", type=float)
    parser.add_argument(
        "--crop",
        type=int,
        nargs=2,
        default=(0, 0),
        metavar=("TOP", "LEFT"),
        help="SDXL's, in pixels",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--save", help="folder to put the pictures in")
    parser.add_argument("--sheet", help="file for a contact sheet")
    parser.add_argument("--misses", action="store_true", help="list what is wrong")
    parser.add_argument("--self-test", action="store_true", help="judge true drawings")
    options = parser.parse_args()
    mini = read_miniature(options.miniature)
    folder = options.model or mini.folder
    if options.self_test:
        return self_test(mini, folder)
    prompts = mini.held_out()[: options.count]
    if options.pictures:
        files = [f"{options.pictures}/{i:03}.png" for i in range(len(prompts))]
        pictures = [Image.open(file).convert("RGB") for file in files]
    else:
        pictures = paint(mini, folder, prompts, options)
    if options.save:
        os.makedirs(options.save, exist_ok=True)
        for i, picture in enumerate(pictures):
            picture.save(f"{options.save}/{i:03}.png")
    if options.sheet:
        contact_sheet(pictures, options.sheet)
    framing = Framing(original=mini.side, top=options.crop[0], left=options.crop[1])
    scenes = [shown(parse(caption), framing, mini.side) for caption in prompts]
    chosen = [i for i, scene in enumerate(scenes) if scene.shapes]
    pictures, scenes, prompts = (
        [items[i] for i in chosen] for items in (pictures, scenes, prompts)
    )
    report(judge_all(pictures, scenes), prompts, options.misses)


if __name__ == "__main__":
    main()

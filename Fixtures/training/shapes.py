"""Captioned drawings of coloured shapes: an endless, licence-free text-to-image data set.

`describe_pairs` and `describe_triples` draw lots for a scene, `render` paints it, `parse` reads a
caption back.
"""

import math
import random
import re
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw

COLORS = {
    "red": (214, 40, 40),
    "green": (46, 160, 67),
    "blue": (35, 92, 214),
    "yellow": (244, 208, 63),
    "orange": (240, 128, 28),
    "purple": (126, 48, 172),
    "pink": (244, 130, 182),
    "cyan": (52, 196, 208),
    "white": (245, 245, 245),
    "black": (24, 24, 24),
    "brown": (122, 74, 40),
    "gray": (128, 128, 132),
}
SHAPES = ["circle", "square", "triangle", "star", "ring", "cross", "diamond", "heart"]
SIZES = {"tiny": 9, "small": 13, "": 18, "large": 25}
PLACES = {
    "": (32, 32),
    "at the top": (32, 19),
    "at the bottom": (32, 45),
    "on the left": (19, 32),
    "on the right": (45, 32),
}
# Where the objects of a caption lie, by the relations in it, and how large they are.
LAYOUTS = {
    ("next to",): (((18, 32), (46, 32)), 12),
    ("above",): (((32, 18), (32, 46)), 12),
    ("next to", "next to"): (((12, 32), (32, 32), (52, 32)), 9),
    ("above", "above"): (((32, 12), (32, 32), (32, 52)), 9),
    ("next to", "above"): (((18, 18), (46, 18), (32, 46)), 12),
    ("above", "next to"): (((32, 18), (18, 46), (46, 46)), 12),
}
EDGE_RADIUS = 20  # a large shape away from the centre is cut down to this
SIDE = 64  # of a scene, in the units of all places and radii
OVERSAMPLING = 3


@dataclass(frozen=True)
class Shape:
    color: str
    shape: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    background: str
    shapes: tuple
    caption: str


def single_radius(size, place):
    radius = SIZES[size]
    return EDGE_RADIUS if place and radius > 18 else radius


def single_caption(size, color, shape, place, background):
    words = ["a", size, color, shape, place, "on a", background, "background"]
    return articles(" ".join(word for word in words if word))


def group_caption(colors, shapes, relations, background):
    caption = f"a {colors[0]} {shapes[0]}"
    for relation, color, shape in zip(relations, colors[1:], shapes[1:], strict=True):
        caption += f" {relation} a {color} {shape}"
    return articles(f"{caption} on a {background} background")


def articles(caption):
    return caption.replace("a orange", "an orange")


# The order of the draws is part of the data sets: do not change it.


def describe_pairs(rng):
    """A scene of one or two objects: mini-sd's data set."""
    background = rng.choice(list(COLORS))
    return single(rng, background) if rng.random() < 0.6 else group(rng, background, 2)


def describe_triples(rng):
    """A scene of one, two or three objects: mini-sdxl's data set."""
    background = rng.choice(list(COLORS))
    draw = rng.random()
    if draw < 0.3:
        return single(rng, background)
    return group(rng, background, 2 if draw < 0.7 else 3)


def single(rng, background):
    others = [color for color in COLORS if color != background]
    size = rng.choice(list(SIZES))
    place = rng.choice(list(PLACES))
    color = rng.choice(others)
    shape = rng.choice(SHAPES)
    x = PLACES[place][0] + rng.uniform(-1.5, 1.5)
    y = PLACES[place][1] + rng.uniform(-1.5, 1.5)
    radius = single_radius(size, place) + rng.uniform(-0.7, 0.7)
    caption = single_caption(size, color, shape, place, background)
    return Scene(background, (Shape(color, shape, x, y, radius),), caption)


def group(rng, background, count):
    others = [color for color in COLORS if color != background]
    kinds = [(rng.choice(others), rng.choice(SHAPES)) for _ in range(count)]
    colors, shapes = zip(*kinds, strict=True)
    relations = tuple("next to" if rng.random() < 0.5 else "above" for _ in range(count - 1))
    spots, radius = LAYOUTS[relations]
    items = tuple(
        Shape(color, shape, x + rng.uniform(-1.2, 1.2), y + rng.uniform(-1.2, 1.2), radius)
        for color, shape, (x, y) in zip(colors, shapes, spots, strict=True)
    )
    return Scene(background, items, group_caption(colors, shapes, relations, background))


def parse(caption):
    """The scene a caption asks for, without the jitter of the drawings."""
    words = caption.split()
    background = words[-2]
    colors = [word for word in words[:-2] if word in COLORS]
    shapes = [word for word in words if word in SHAPES]
    relations = tuple(re.findall("next to|above", caption))
    if relations:
        spots, radius = LAYOUTS[relations]
        items = zip(colors, shapes, spots, strict=True)
        return Scene(background, tuple(Shape(c, s, *spot, radius) for c, s, spot in items), caption)
    size = next((size for size in SIZES if size and size in words), "")
    place = next((place for place in PLACES if place and place in caption), "")
    x, y = PLACES[place]
    shape = Shape(colors[0], shapes[0], x, y, single_radius(size, place))
    return Scene(background, (shape,), caption)


@dataclass(frozen=True)
class Framing:
    """How a picture shows its scene: SDXL's size and crop conditioning, in pixels."""

    original: int  # side of the picture before it was scaled up to its size: smaller is blurred
    top: int = 0
    left: int = 0


def render(scene, side=SIDE, framing=None):
    """The scene as an RGB picture of `side` x `side` pixels."""
    framing = framing or Framing(original=side)
    background = COLORS[scene.background]
    image = Image.new("RGB", (side * OVERSAMPLING,) * 2, background)
    canvas = ImageDraw.Draw(image)
    unit = side / SIDE
    for shape in scene.shapes:
        shape = replace(shape, x=shape.x - framing.left / unit, y=shape.y - framing.top / unit)
        draw(canvas, shape, COLORS[shape.color], background, OVERSAMPLING * unit)
    if framing.original < side:
        image = image.resize((framing.original,) * 2, Image.LANCZOS)
        return image.resize((side, side), Image.BICUBIC)
    return image.resize((side, side), Image.LANCZOS)


def draw(canvas, item, fill, background, unit):
    x, y, r = item.x, item.y, item.radius

    def box(left, top, right, bottom):
        return [
            ((x + left) * unit, (y + top) * unit),
            ((x + right) * unit, (y + bottom) * unit),
        ]

    def polygon(points):
        canvas.polygon([((x + px) * unit, (y + py) * unit) for px, py in points], fill=fill)

    if item.shape == "circle":
        canvas.ellipse(box(-r, -r, r, r), fill=fill)
    elif item.shape == "ring":
        hole = r * 0.55
        canvas.ellipse(box(-r, -r, r, r), fill=fill)
        canvas.ellipse(box(-hole, -hole, hole, hole), fill=background)
    elif item.shape == "square":
        half = r * 0.86
        canvas.rectangle(box(-half, -half, half, half), fill=fill)
    elif item.shape == "diamond":
        polygon([(0, -r), (r * 0.8, 0), (0, r), (-r * 0.8, 0)])
    elif item.shape == "triangle":
        polygon([(0, -r), (r * 0.95, r * 0.75), (-r * 0.95, r * 0.75)])
    elif item.shape == "star":
        points = []
        for k in range(10):
            reach = r if k % 2 == 0 else r * 0.42
            angle = k * math.pi / 5
            points.append((reach * math.sin(angle), -reach * math.cos(angle)))
        polygon(points)
    elif item.shape == "cross":
        arm = r * 0.32
        canvas.rectangle(box(-arm, -r, arm, r), fill=fill)
        canvas.rectangle(box(-r, -arm, r, arm), fill=fill)
    elif item.shape == "heart":
        q = r * 0.54
        canvas.ellipse(box(-2 * q + 0.08 * r, -r * 0.75, 0.04 * r, q * 0.62), fill=fill)
        canvas.ellipse(box(-0.04 * r, -r * 0.75, 2 * q - 0.08 * r, q * 0.62), fill=fill)
        polygon([(-r * 0.93, 0.08 * r), (r * 0.93, 0.08 * r), (0, r)])
    else:
        raise ValueError(f"no such shape: {item.shape}")


def captions_drawn(describe, count, seed=1):
    """The captions of the first `count` scenes of a seed, without painting them."""
    rng = random.Random(seed)
    return [describe(rng).caption for _ in range(count)]

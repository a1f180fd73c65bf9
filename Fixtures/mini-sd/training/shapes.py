"""Captioned drawings of coloured shapes: an endless, licence-free text-to-image data set.

`describe` draws lots for a scene, `render` paints it, `parse` reads a caption back.
"""

import math
import random
from dataclasses import dataclass

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
RELATIONS = {"next to": ((18, 32), (46, 32)), "above": ((32, 18), (32, 46))}
PAIR_RADIUS = 12
EDGE_RADIUS = 20  # a large shape away from the centre is cut down to this
SIDE = 64
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


def pair_caption(color1, shape1, relation, color2, shape2, background):
    return articles(
        f"a {color1} {shape1} {relation} a {color2} {shape2} on a {background} background"
    )


def articles(caption):
    return caption.replace("a orange", "an orange")


def describe(rng):
    """One scene. The order of the draws is part of the data set: do not change it."""
    background = rng.choice(list(COLORS))
    others = [color for color in COLORS if color != background]
    if rng.random() < 0.6:
        size = rng.choice(list(SIZES))
        place = rng.choice(list(PLACES))
        color = rng.choice(others)
        shape = rng.choice(SHAPES)
        x = PLACES[place][0] + rng.uniform(-1.5, 1.5)
        y = PLACES[place][1] + rng.uniform(-1.5, 1.5)
        radius = single_radius(size, place) + rng.uniform(-0.7, 0.7)
        caption = single_caption(size, color, shape, place, background)
        return Scene(background, (Shape(color, shape, x, y, radius),), caption)
    color1, shape1 = rng.choice(others), rng.choice(SHAPES)
    color2, shape2 = rng.choice(others), rng.choice(SHAPES)
    relation = "next to" if rng.random() < 0.5 else "above"
    shapes = []
    for color, shape, (x, y) in zip(
        (color1, color2), (shape1, shape2), RELATIONS[relation], strict=True
    ):
        x += rng.uniform(-1.2, 1.2)
        y += rng.uniform(-1.2, 1.2)
        shapes.append(Shape(color, shape, x, y, PAIR_RADIUS))
    caption = pair_caption(color1, shape1, relation, color2, shape2, background)
    return Scene(background, tuple(shapes), caption)


def parse(caption):
    """The scene a caption asks for, without the jitter of the drawings."""
    words = caption.split()
    background = words[-2]
    colors = [word for word in words[:-2] if word in COLORS]
    shapes = [word for word in words if word in SHAPES]
    for relation, spots in RELATIONS.items():
        if f" {relation} " in caption:
            pair = zip(colors, shapes, spots, strict=True)
            return Scene(
                background, tuple(Shape(c, s, x, y, PAIR_RADIUS) for c, s, (x, y) in pair), caption
            )
    size = next((size for size in SIZES if size and size in words), "")
    place = next((place for place in PLACES if place and place in caption), "")
    x, y = PLACES[place]
    shape = Shape(colors[0], shapes[0], x, y, single_radius(size, place))
    return Scene(background, (shape,), caption)


def render(scene):
    """The scene as a 64 x 64 RGB picture."""
    background = COLORS[scene.background]
    image = Image.new("RGB", (SIDE * OVERSAMPLING,) * 2, background)
    canvas = ImageDraw.Draw(image)
    for shape in scene.shapes:
        draw(canvas, shape, COLORS[shape.color], background)
    return image.resize((SIDE, SIDE), Image.LANCZOS)


def draw(canvas, item, fill, background):
    x, y, r = item.x, item.y, item.radius

    def box(left, top, right, bottom):
        return [
            ((x + left) * OVERSAMPLING, (y + top) * OVERSAMPLING),
            ((x + right) * OVERSAMPLING, (y + bottom) * OVERSAMPLING),
        ]

    def polygon(points):
        canvas.polygon(
            [((x + px) * OVERSAMPLING, (y + py) * OVERSAMPLING) for px, py in points], fill=fill
        )

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


def captions_drawn(count, seed=1):
    """The captions of the first `count` scenes of a seed, without painting them."""
    rng = random.Random(seed)
    return [describe(rng).caption for _ in range(count)]

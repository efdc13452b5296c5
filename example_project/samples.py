"""What the demo works on: pictures that it draws, orders and months that it makes up."""

import colorsys
import random
from pathlib import Path

from PIL import Image, ImageDraw

from example_project.places import out, replace
from example_project.tasks.webhooks import OrderPlaced

WIDTH, HEIGHT = 1600, 1200


def draw_picture(number: int) -> Path:
    """A poster of circles on a sky, the same for the same number."""
    path = out("pictures", f"poster-{number}.png")
    if path.exists():
        return path
    chance = random.Random(number)
    hue = chance.random()
    sky = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
    picture = Image.merge(
        "RGB", [sky.point([int(v * part) for v in range(256)]) for part in _rgb(hue, 0.55, 0.95)]
    )
    draw = ImageDraw.Draw(picture, "RGBA")
    for _ in range(60):
        x, y, radius = chance.randrange(WIDTH), chance.randrange(HEIGHT), chance.randrange(20, 220)
        red, green, blue = (int(255 * part) for part in _rgb(hue + chance.uniform(-0.2, 0.2), 0.6))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), (red, green, blue, 90))
    part = path.with_suffix(".part")
    picture.save(part, "PNG")
    replace(path, part)
    return path


def _rgb(hue: float, saturation: float, value: float = 1.0) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)


def order(number: int) -> OrderPlaced:
    """The order of this number."""
    article = ("tea", "coffee", "cup")[number % 3]
    return OrderPlaced(order=f"A-{1000 + number}", article=article, pieces=1 + number % 4)


def month(number: int) -> str:
    """The month of this number, counted from January 2020."""
    return f"{2020 + number // 12 % 80}-{1 + number % 12:02}"

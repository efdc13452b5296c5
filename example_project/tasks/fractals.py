"""A picture that is computed point by point: nothing but CPU, so its queue runs in processes."""

import colorsys
from dataclasses import dataclass
from enum import StrEnum

from fastapi import Depends
from PIL import Image

from example_project.places import replace, result
from fastapi_jobs import GiveUp, JobContext, task

WIDEST = 1600


class View(StrEnum):
    """A part of the Mandelbrot set that is worth a picture."""

    WHOLE = "whole"
    SEAHORSES = "seahorses"
    SPIRAL = "spiral"


PLACES: dict[View, tuple[complex, float, int]] = {
    View.WHOLE: (complex(-0.65, 0.0), 3.2, 90),
    View.SEAHORSES: (complex(-0.757, 0.1), 0.06, 200),
    View.SPIRAL: (complex(-0.7463, 0.1102), 0.006, 300),
}
"""Of each view the centre, the width and how many steps a point is followed."""


@dataclass(frozen=True)
class Fractal:
    """A finished picture; sizes in pixels."""

    path: str
    view: View
    width: int
    height: int


@task(queue="computing", timeout=300, api=True, tags=["picture"])
def draw_mandelbrot(view: View, width: int = 600, ctx: JobContext = Depends()) -> Fractal:
    """Draw a part of the Mandelbrot set, `width` pixels wide and two thirds of that high."""
    if not 3 <= width <= WIDEST:
        raise GiveUp(f"A picture of {width} pixels: give 3 to {WIDEST}.")
    height = width * 2 // 3
    centre, span, steps = PLACES[view]
    colours = _colours(steps)
    picture = Image.new("RGB", (width, height))
    for y in range(height):
        ctx.progress(y, height, f"row {y} of {height}")
        imaginary = centre.imag + (0.5 - y / height) * span * height / width
        for x in range(width):
            point = complex(centre.real + (x / width - 0.5) * span, imaginary)
            picture.putpixel((x, y), colours[_steps_to_escape(point, steps)])
    path = result("fractals", ctx.job_id, f"{view}.png")
    part = path.with_suffix(".part")
    picture.save(part, "PNG")
    replace(path, part)
    ctx.progress(height, height, "done")
    return Fractal(str(path), view, width, height)


def _steps_to_escape(point: complex, most: int) -> int:
    """How many steps it takes z² + point to leave the circle of radius 2; at most `most`."""
    z = 0j
    for step in range(most):
        if z.real * z.real + z.imag * z.imag > 4.0:
            return step
        z = z * z + point
    return most


def _colours(steps: int) -> list[tuple[int, int, int]]:
    outside = [
        colorsys.hsv_to_rgb((0.55 + step / 140) % 1.0, 0.65, min(1.0, 0.15 + step / 30))
        for step in range(steps)
    ]
    rgb = [(int(255 * red), int(255 * green), int(255 * blue)) for red, green, blue in outside]
    return [*rgb, (8, 10, 20)]

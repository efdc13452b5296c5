"""Thumbnails of a picture: work for a core, so its queue runs in child processes."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from fastapi import Depends
from PIL import Image, UnidentifiedImageError

from example_project.places import out, replace, result
from fastapi_jobs import GiveUp, JobContext, task

SIZES = [64, 128, 256, 512, 1024]


@dataclass(frozen=True)
class Thumbnail:
    """A picture that was made smaller; sizes in pixels and bytes."""

    path: str
    width: int
    height: int
    size: int


@task(queue="pictures", timeout=60, api=True, tags=["picture"])
def make_thumbnails(picture: str, sizes: list[int], ctx: JobContext = Depends()) -> list[Thumbnail]:
    """Make one thumbnail for each of `sizes`, the longer side in pixels."""
    source = Path(picture).resolve()
    if not source.is_relative_to(out().resolve()):
        raise GiveUp(f"{picture} is outside {out()}.")
    try:
        original = Image.open(source)
        original.load()
    except FileNotFoundError:
        raise GiveUp(f"{picture} does not exist.") from None
    except UnidentifiedImageError:
        raise GiveUp(f"{source.name} is not a picture that Pillow can read.") from None
    made = []
    for done, size in enumerate(sizes):
        ctx.progress(done, len(sizes), f"{size} px")
        made.append(_smaller(original.convert("RGB"), ctx.job_id, size))
    ctx.progress(len(sizes), len(sizes), "done")
    return made


def _smaller(picture: Image.Image, job_id: UUID | None, size: int) -> Thumbnail:
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    path = result("thumbnails", job_id, f"{size}.jpg")
    part = path.with_suffix(".part")
    picture.save(part, "JPEG", quality=85)
    replace(path, part)
    return Thumbnail(str(path), picture.width, picture.height, path.stat().st_size)

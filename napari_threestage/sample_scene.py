"""Draw one sample micrograph: tissue, cells, fibres and debris, and the photograph of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

FloatImage = npt.NDArray[np.float64]
BoolImage = npt.NDArray[np.bool_]
Mask = npt.NDArray[np.uint8]

CELL, FIBRE, DEBRIS = 1, 2, 3  # indices into `SAMPLE_CLASSES`; the background is 0
WEAVES, WEAVE_SHARES = ("grass", "gravel", "brick"), (0.42, 0.42, 0.16)

# Optical densities (red, green, blue) of a nuclear and a counter stain: haematoxylin with eosin,
# haematoxylin with DAB, toluidine blue, a Masson-like trichrome.
STAINS = np.array(
    [
        [[0.65, 0.70, 0.29], [0.10, 0.95, 0.30]],
        [[0.65, 0.70, 0.35], [0.27, 0.57, 0.78]],
        [[0.85, 0.55, 0.20], [0.55, 0.70, 0.30]],
        [[0.60, 0.75, 0.45], [0.80, 0.45, 0.25]],
    ]
)


@dataclass
class Scene:
    """Stain concentrations and labels while objects are laid on top of each other."""

    rng: np.random.Generator
    scale: float
    nuclear: FloatImage
    counter: FloatImage
    mask: Mask
    fields: dict[str, FloatImage]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.mask.shape
        return height, width

    def field(self, name: str) -> FloatImage:
        """Shifted copy of a noise field: as good as new noise for each object, and cheap."""
        shift = self.rng.integers(0, self.shape)
        return np.roll(self.fields[name], tuple(shift), axis=(0, 1))

    def lay(self, region: BoolImage, counter: FloatImage, nuclear: FloatImage, label: int) -> None:
        """Cover `region`, letting a little of what lies below shine through."""
        through = self.rng.uniform(0.1, 0.3)
        self.counter[region] = through * self.counter[region] + counter[region]
        self.nuclear[region] = through * self.nuclear[region] + nuclear[region]
        self.mask[region] = label


def draw_scene(rng: np.random.Generator, size: int) -> Scene:
    """Lay cells, fibres and debris on tissue, in random number and order.

    Parameters
    ----------
    rng
        Decides everything; the scene goes on to use it.
    size
        Height and width in pixels.

    Returns
    -------
    Scene
        Stain concentrations and the mask.
    """
    shape = (size, size)
    stains, fields = _stroma(rng, shape), _fields(rng, shape)
    scene = Scene(rng, rng.uniform(0.7, 1.4), *stains, np.zeros(shape, np.uint8), fields)
    for _ in range(rng.integers(0, 5)):
        _add_ghost(scene)
    # Counts follow the area seen, so that magnification changes sizes and not the cover.
    area = (size / 160 / scene.scale) ** 2
    counts = rng.poisson(area * np.array([8.5, 5.5, 8.0])) * (rng.random(3) > [0.0, 0.15, 0.15])
    draw = {CELL: _add_cell, FIBRE: _add_fibre, DEBRIS: _add_debris}
    for label in rng.permutation(np.repeat([CELL, FIBRE, DEBRIS], counts)):
        draw[int(label)](scene)
    return scene


def photograph(scene: Scene) -> npt.NDArray[np.uint8]:
    """Turn stain concentrations into an RGB image by Beer-Lambert, lamp, lens and sensor.

    Parameters
    ----------
    scene
        As `draw_scene` gives it; its random generator moves on.

    Returns
    -------
    numpy.ndarray
        ``(H, W, 3)`` uint8.
    """
    rng = scene.rng
    mix = rng.dirichlet([0.4] * len(STAINS))
    nuclear, counter = np.tensordot(mix, STAINS, 1) * rng.normal(1, 0.08, (2, 3))
    strength = rng.uniform(0.65, 1.7, 2)
    density = scene.nuclear[..., None] * nuclear * strength[0]
    density = density + scene.counter[..., None] * counter * strength[1]
    light = np.exp(-density) * rng.uniform(0.84, 1.0, 3) * rng.uniform(0.8, 1.0)
    light *= _lamp(rng, scene.shape)[..., None]
    light = ndimage.gaussian_filter(light, (*[rng.uniform(0.5, 1.1)] * 2, 0))
    light = np.clip(light, 0, None) ** rng.uniform(0.75, 1.35)
    light += rng.normal(0, rng.uniform(0.008, 0.03), light.shape) * np.sqrt(light + 0.05)
    return np.asarray(np.rint(np.clip(light, 0, 1) * 255), dtype=np.uint8)


def _lamp(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Uneven illumination: a slope across the field and a fall-off to the corners."""
    row, column = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    slope = rng.uniform(-0.14, 0.14, 2)
    return np.asarray(
        1 + slope[0] * row + slope[1] * column - rng.uniform(0, 0.1) * (row**2 + column**2)
    )


def _stroma(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[FloatImage, FloatImage]:
    """Nuclear and counter stain of the bare tissue, each ``(H, W)``."""
    weave = _texture(rng, str(rng.choice(WEAVES, p=WEAVE_SHARES)), shape, (0.5, 1.5))
    counter = 1 + 0.2 * _noise(rng, shape, (24, 8)) + rng.uniform(0.1, 0.3) * weave
    nuclear = 1 + 0.4 * _noise(rng, shape, (10, 3))
    levels = rng.uniform([0.03, 0.2], [0.2, 0.45])
    return levels[0] * np.clip(nuclear, 0, None), levels[1] * np.clip(counter, 0.05, None)


def _fields(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, FloatImage]:
    return {
        "grain": _texture(rng, "gravel", shape, (0.3, 0.6)),
        "flakes": _texture(rng, "gravel", shape, (0.6, 1.2)),
        "chromatin": _noise(rng, shape, (1.5,)),
        "clots": _noise(rng, shape, (3.0, 1.5)),
        "tears": _noise(rng, shape, (2.5,)),
        "streaks": _noise(rng, shape, (1.0,)),
        "width": _noise(rng, shape, (12,)),
    }


def _add_ghost(scene: Scene) -> None:
    """Add a cell far out of focus, which counts as background."""
    rng = scene.rng
    depth = _blob(scene, rng.uniform(9, 18), jagged=False)
    scene.counter += rng.uniform(0.1, 0.4) * _blur(depth > 0, rng.uniform(4, 7) * scene.scale)


def _add_cell(scene: Scene) -> None:
    rng = scene.rng
    radius, centre = rng.uniform(8, 17), rng.uniform(0, scene.shape)
    depth = _blob(scene, radius, jagged=False, centre=centre)
    rim = np.exp(-((depth / (1.6 * scene.scale)) ** 2))
    level = rng.uniform(0.4, 0.8)
    counter = level * (1 + 0.15 * scene.field("grain") + rng.uniform(0.3, 1.0) * rim)
    nuclear = rng.uniform(0.05, 0.25) * (1 + rim)
    if rng.random() < 0.8:  # the section missed the nucleus of the others
        nuclear = nuclear + _nucleus(scene, centre, radius)
    scene.lay(depth > 0, counter, nuclear, CELL)


def _nucleus(scene: Scene, centre: FloatImage, radius: float) -> FloatImage:
    rng = scene.rng
    centre = centre + rng.normal(0, 0.15 * radius * scene.scale, 2)
    core = _blob(scene, radius * rng.uniform(0.35, 0.55), jagged=False, centre=centre)
    return _blur(core > 0, 0.7) * rng.uniform(0.35, 0.9) * (1 + 0.25 * scene.field("chromatin"))


def _add_debris(scene: Scene) -> None:
    """Add a ragged fragment in the colour range of the cells, without rim and nucleus."""
    rng = scene.rng
    depth = _blob(scene, rng.uniform(7, 16), jagged=True)
    region = (depth > 0) & (scene.field("tears") > -1.4)
    counter = rng.uniform(0.45, 0.85) * (1 + 0.3 * scene.field("flakes"))
    clots = np.clip(scene.field("clots") - 0.4, 0, None)
    scene.lay(region, counter, rng.uniform(0.1, 0.3) + rng.uniform(0.1, 0.5) * clots, DEBRIS)


def _add_fibre(scene: Scene) -> None:
    rng = scene.rng
    distance = _distance_to_strand(scene)
    half_width = scene.scale * rng.uniform(1.5, 3.2) * (1 + 0.2 * scene.field("width"))
    streaks = 1 + 0.2 * scene.field("streaks") - 0.3 * distance / half_width
    region = distance < half_width
    # Always denser than what lies below: a strand that nobody can see is no fair label.
    below = ndimage.gaussian_filter(scene.counter, 3)
    counter = 0.85 * below + rng.uniform(0.2, 0.45) * streaks
    scene.lay(region, counter, 0.1 * streaks, FIBRE)


def _distance_to_strand(scene: Scene) -> FloatImage:
    """Distance of each pixel to a wavy line whose heading drifts as it goes."""
    rng = scene.rng
    steps = int(rng.uniform(60, 200) * scene.scale)
    drift = ndimage.gaussian_filter1d(rng.normal(0, 1, steps), 8) * rng.uniform(0.03, 0.22)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(drift)
    path = np.cumsum(np.stack([np.sin(heading), np.cos(heading)], axis=1), axis=0)
    points = np.floor(path - path[steps // 2] + rng.uniform(0, scene.shape)).astype(int)
    points = points[((points >= 0) & (points < scene.shape)).all(axis=1)]
    empty = np.ones(scene.shape, dtype=bool)
    empty[points[:, 0], points[:, 1]] = False
    return np.asarray(ndimage.distance_transform_edt(empty))


def _blob(
    scene: Scene, radius: float, *, jagged: bool, centre: FloatImage | None = None
) -> FloatImage:
    """Depth below the outline, positive inside, of a smooth or jagged shape about `radius` wide."""
    rng = scene.rng
    centre = rng.uniform(0, scene.shape) if centre is None else centre
    if jagged:
        count = rng.integers(6, 11)
        corner = (np.arange(count) + rng.uniform(-0.4, 0.4, count)) * 2 * np.pi / count
        reach = rng.uniform(0.45, 1.4, count)
    else:
        corner = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        waves = np.cos(np.outer([2, 3, 4], corner) + rng.uniform(0, 2 * np.pi, (3, 1)))
        reach = 1 + np.array([0.12, 0.05, 0.03]) @ waves
    row, column = np.ogrid[: scene.shape[0], : scene.shape[1]]
    row, column = row - centre[0], column - centre[1]
    # Linear in 1/reach, because that makes the sides between the corners nearly straight.
    inverse = np.interp(np.arctan2(row, column), corner, 1 / reach, period=2 * np.pi)
    return np.asarray(radius * scene.scale - np.hypot(row, column) * inverse)


def _noise(
    rng: np.random.Generator, shape: tuple[int, int], sigmas: tuple[float, ...]
) -> FloatImage:
    """Smooth noise of mean 0 and standard deviation 1, the sum of several grain sizes."""
    total = sum(
        _standard(ndimage.gaussian_filter(rng.normal(size=shape), s, truncate=3)) for s in sigmas
    )
    return _standard(np.asarray(total))


def _texture(
    rng: np.random.Generator, name: str, shape: tuple[int, int], zoom: tuple[float, float]
) -> FloatImage:
    """Random cut of a photographed texture, turned and enlarged, mean 0 and deviation 1."""
    picture = _picture(name)
    angle, step = rng.uniform(0, 2 * np.pi), 1 / rng.uniform(*zoom)
    turn = step * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    start = rng.uniform(0, picture.shape)
    cut = ndimage.affine_transform(picture, turn, start, shape, order=1, mode="mirror")
    return _standard(cut)


@cache
def _picture(name: str) -> FloatImage:
    # Read from the installed package: `skimage.data.grass()` downloads what it does not find.
    with as_file(files("skimage.data") / f"{name}.png") as path, Image.open(path) as picture:
        return np.asarray(picture, dtype=np.float64)


def _blur(region: BoolImage, sigma: float) -> FloatImage:
    return np.asarray(ndimage.gaussian_filter(region.astype(np.float64), sigma))


def _standard(values: FloatImage) -> FloatImage:
    return np.asarray((values - values.mean()) / (values.std() + 1e-9))

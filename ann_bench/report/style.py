"""The look of a series: a colour and a marker that depend on the algorithm's name alone.

The colours are those of Okabe and Ito (2008), made for readers of every colour vision; their yellow is left
out because it vanishes on white, and grey added. Eight colours and nine markers are coprime, so the first 72
names of the table below differ in colour or marker, and neighbours in it differ in both.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

PALETTE = ("#D55E00", "#0072B2", "#E69F00", "#009E73", "#56B4E9", "#CC79A7", "#000000", "#8C8C8C")
# Marker and the factor that makes it look as large as the others.
MARKERS = (
    ("o", 1.0),
    ("s", 0.9),
    ("^", 1.08),
    ("D", 0.82),
    ("v", 1.08),
    ("P", 1.1),
    ("X", 1.1),
    ("<", 1.08),
    ("*", 1.4),
)
Line = Literal["-"] | tuple[int, tuple[float, ...]]
LINES: tuple[Line, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)), (0, (2.2, 1.2)))

# Order is identity: a new name goes to the end, or every chart made before changes its colours.
KNOWN = (
    "engine-forest", "hnswlib", "annoy", "faiss-ivf", "faiss-hnsw", "faiss-flat", "bruteforce",
    "sklearn-brute", "sklearn-kd-tree", "sklearn-ball-tree", "faiss-nndescent", "symphonyqg", "falconn",
    "engine-cluster", "flann-kd-trees", "ngt-onng", "duckdb", "mrpt", "svs-vamana", "flatnav",
    "usearch-bf16", "engine-graph", "vsag-hgraph", "lancedb", "alayalite", "faiss-ivf-rabitq",
    "faiss-hnsw-sq", "flann-kmeans", "milvus-lite", "datasketch-lsh-forest", "rabitq-hnsw", "nmslib-hnsw",
    "svs-vamana-leanvec", "usearch-i8", "zvec", "nanopq", "voyager", "word2vec-distance",
    "faiss-ivf-pq-fastscan", "glass-hnsw", "faiss-ivf-rabitq-fastscan", "diskann-memory", "vsag-hnsw",
    "chroma", "panns", "rabitq-ivf", "ngt-panng", "usearch-f32", "ngt-anng", "pgvector-ivfflat",
    "glass-nsg", "nmslib-sw-graph", "svs-ivf", "sqlite-vec", "qdrant", "faiss-nsg", "nearpy", "pynndescent",
    "engine-flat", "rpforest", "ngt-qg", "lshforest", "n2", "faiss-ivf-pq", "pgvector-hnsw", "nndescent",
    "scann-soar", "svs-vamana-lvq", "scann", "rii", "lorann", "flann-autotuned",
)  # fmt: skip


@dataclass(frozen=True)
class Style:
    """How one series is drawn."""

    colour: str
    marker: str
    marker_scale: float
    line: Line
    hollow: bool = False

    @property
    def ink(self) -> str:
        """The colour, darkened until it is readable as small text on white (a contrast of 4.5)."""
        shades = (_mix(self.colour, "#000000", step / 20) for step in range(21))
        return next(shade for shade in shades if 1.05 / (_luminance(shade) + 0.05) >= 4.5)


def style(algorithm: str, variant: int = 0) -> Style:
    """Return the look of `algorithm`, a function of its name; `variant` tells series of one algorithm apart.

    A name outside the table gets its look from a hash, with a broken line, so it never equals a known one.
    Variants keep colour and marker, and change shade, line and filling.
    """
    if algorithm in KNOWN:
        index, line = KNOWN.index(algorithm), 0
    else:
        digest = int.from_bytes(hashlib.sha256(algorithm.encode("utf-8", "surrogatepass")).digest()[:8])
        index, line = digest % 72, 1 + digest // 72 % (len(LINES) - 1)
    colour, (marker, scale) = PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)]
    shade = (0.0, 0.38, -0.4)[variant % 3]
    if shade:
        colour = _mix(colour, "#FFFFFF" if shade > 0 or colour == "#000000" else "#000000", abs(shade))
    return Style(colour, marker, scale, LINES[(line + variant) % len(LINES)], hollow=variant % 2 == 1)


def _mix(colour: str, other: str, share: float) -> str:
    """Return `colour` with `share` of `other` in it, both as #RRGGBB."""
    pairs = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)


def _luminance(colour: str) -> float:
    """Return the relative luminance of #RRGGBB as WCAG 2 defines it: 0 for black, 1 for white."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@dataclass(frozen=True)
class Layout:
    """Sizes of a figure: inches for lengths, points for text and lines."""

    width: float
    axes_height: float
    dpi: int
    title: float
    text: float
    small: float
    marker: float
    line: float
    legend_beside: bool


LAYOUTS = {
    "page": Layout(7.0, 3.7, 220, 10.0, 8.0, 6.6, 4.6, 1.3, legend_beside=True),
    "column": Layout(3.3, 2.15, 330, 8.5, 7.0, 5.8, 3.4, 1.0, legend_beside=False),
}

INK = "#3A3A3A"
GREY = "#5F5F5F"
FAINT = "#E3E3E3"


@contextmanager
def drawing() -> Iterator[None]:
    """Set matplotlib's parameters for a figure's making and saving, and put them back after.

    Text is drawn as it is written (a "$" in a label starts no formula), PDF fonts can be edited, and the
    same figure gives the same SVG.
    """
    import matplotlib as mpl

    parameters: Any = {
        "text.parse_math": False,
        "font.family": "DejaVu Sans",
        "text.hinting": "no_hinting",  # widths must not depend on the resolution: labels are placed by them
        "axes.linewidth": 0.6,
        "axes.edgecolor": "#444444",
        "axes.unicode_minus": True,
        "pdf.fonttype": 42,
        "svg.hashsalt": "ann_bench",
        "path.simplify": False,
    }
    with mpl.rc_context(parameters):
        yield

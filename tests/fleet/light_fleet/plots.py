"""Draws a database's scenarios as one SVG, and has Chromium make a PNG of it."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from chromium import chromium, is_there

from light_fleet.scenarios import Result

WIDTH, PANEL, TOP, LEFT = 900, 170, 40, 60
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - 2 * LEFT, PANEL - 70
ARRIVALS, HEALTHY, HOLDING = "#8892a6", "#1a7f37", "#b35900"


def drawing(title: str, results: Sequence[Result]) -> str:
    """Return an SVG with a panel for each scenario."""
    height = TOP + PANEL * len(results) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        'font-family="DejaVu Sans, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
        *(_panel(result, TOP + PANEL * n) for n, result in enumerate(results)),
        "</svg>",
    ]
    return "\n".join(parts)


def _panel(result: Result, top: float) -> str:
    seconds = max(len(result.rates), 1)
    most = max(result.rates, default=1) or 1
    base = top + 40 + PLOT_HEIGHT
    over = _x(result.trouble.over - result.begun, seconds)
    bars = (
        f'<rect x="{_x(n, seconds):.1f}" width="{PLOT_WIDTH / seconds:.2f}" '
        f'y="{base - PLOT_HEIGHT * rate / most:.1f}" '
        f'height="{PLOT_HEIGHT * rate / most:.1f}"/>'
        for n, rate in enumerate(result.rates)
    )
    healthy = [(one.at - result.begun, one.healthy) for one in result.states]
    value = result.newest
    holding = [
        (one.at - result.begun, one.values.get(value, (0, 0.0))[0]) for one in result.states
    ]
    return f"""
<text x="{LEFT}" y="{top + 20}" font-weight="bold">{escape(result.name)}</text>
<g fill="{ARRIVALS}" opacity="0.6">{"".join(bars)}</g>
<line x1="{over:.1f}" x2="{over:.1f}" y1="{top + 30}" y2="{base}" stroke="black"
 stroke-dasharray="3 3"/>
{_line(healthy, seconds, result.size, base, HEALTHY)}
{_line(holding, seconds, result.size, base, HOLDING)}
<line x1="{LEFT}" x2="{WIDTH - LEFT}" y1="{base}" y2="{base}" stroke="black"/>
<text x="{LEFT - 6}" y="{base - PLOT_HEIGHT + 10}" text-anchor="end"
 fill="{ARRIVALS}">{most}/s</text>
<text x="{WIDTH - LEFT + 6}" y="{base - PLOT_HEIGHT + 10}">{result.size}</text>
<text x="{LEFT}" y="{base + 15}">0 s</text>
<text x="{WIDTH - LEFT}" y="{base + 15}" text-anchor="end">{seconds} s</text>
<text x="{WIDTH / 2}" y="{base + 15}" text-anchor="middle">
<tspan fill="{ARRIVALS}">requests a second</tspan>,
<tspan fill="{HEALTHY}">hosts that are well</tspan>,
<tspan fill="{HOLDING}">hosts with the new value</tspan>; dashed: it is over</text>"""


def _x(second: float, seconds: int) -> float:
    return LEFT + PLOT_WIDTH * min(second / seconds, 1.0)


def _line(
    points: Sequence[tuple[float, int]], seconds: int, size: int, base: float, color: str
) -> str:
    text = " ".join(
        f"{_x(at, seconds):.1f},{base - PLOT_HEIGHT * count / size:.1f}"
        for at, count in points
        if at <= seconds
    )
    return f'<polyline points="{text}" fill="none" stroke="{color}" stroke-width="2"/>'


async def write_png(svg: str, path: Path) -> bool:
    """Write a picture of it; False if there is no browser to make one."""
    if not is_there():
        return False
    async with chromium() as browser:
        page = await browser.new_page(viewport={"width": WIDTH, "height": 300})
        await page.set_content(f'<body style="margin:0">{svg}</body>')
        await page.locator("svg").screenshot(path=path)
    return True

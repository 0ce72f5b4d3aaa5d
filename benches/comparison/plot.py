"""The figures as a picture: a panel for each row, and in it a bar for each server, in multiples of rwsgi's figure."""

from xml.sax.saxutils import escape

from comparison.report import machine
from comparison.rows import FLOOR, METRICS

COLUMNS = 3
PANEL_WIDTH, LABEL_WIDTH, BAR_WIDTH, LINE = 430, 112, 170, 19
MARGIN, TOP, PANEL_TOP = 24, 92, 52
LONGEST = 4
"""The longest bar, in multiples; whatever is beyond is cut."""
COLOURS = {"rwsgi": "#c2410c", FLOOR: "#a8a29e"}
OTHERS, WRONG, INK, FAINT = "#64748b", "#ffffff", "#1c1917", "#78716c"
GUIDE = "#fed7aa"
DASHED = ' stroke-dasharray="3 2"'


def svg(about, summaries):
    lines = max(len(summary.rounds) for summary in summaries)
    panel_height = PANEL_TOP + lines * LINE + 26
    rows = -(-len(summaries) // COLUMNS)
    columns = min(COLUMNS, len(summaries))
    width, height = 2 * MARGIN + max(columns * PANEL_WIDTH, 860), TOP + rows * panel_height + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        text(MARGIN, 34, "rwsgi beside other WSGI servers", size=20, weight="bold"),
    ]
    parts += [text(MARGIN, 54 + 15 * number, line, fill=FAINT, size=11) for number, line in enumerate(wrapped(machine(about), width // 6))]
    for number, summary in enumerate(summaries):
        x = MARGIN + number % COLUMNS * PANEL_WIDTH
        y = TOP + number // COLUMNS * panel_height
        parts.append(f'<g transform="translate({x} {y})">{panel(summary)}</g>')
    return "\n".join([*parts, "</svg>", ""])


def panel(summary):
    metric = METRICS[summary.row.metric]
    ranked = summary.ranked()
    unit = "rwsgi" if summary.figure("rwsgi") else next(iter(ranked), None)
    better = "more is better" if metric.more else "less is better"
    parts = [text(0, 22, summary.row.title, weight="bold", size=13), text(0, 38, f"{metric.label}, {better}", fill=FAINT, size=11)]
    if unit:
        x, bottom = LABEL_WIDTH + BAR_WIDTH / LONGEST, PANEL_TOP + len(summary.rounds) * LINE
        parts.append(f'<line x1="{x}" y1="{PANEL_TOP - 4}" x2="{x}" y2="{bottom}" stroke="{GUIDE}"/>')
    for number, name in enumerate(summary.order()):
        parts.append(bar(summary, name, unit, PANEL_TOP + number * LINE))
    return "".join(parts)


def bar(summary, name, unit, y):
    figure, ratio = summary.figure(name), summary.ratio(name, unit) if unit else None
    wrong = name in summary.wrong
    weight = "bold" if name == "rwsgi" else "normal"
    parts = [text(LABEL_WIDTH - 6, y + 12, name, anchor="end", weight=weight, fill=FAINT if wrong else INK)]
    end = LABEL_WIDTH
    if figure and ratio:
        scale = BAR_WIDTH / LONGEST * ratio / figure.median
        length, low, high = (min(value * scale, BAR_WIDTH) for value in (figure.median, figure.low, figure.high))
        colour = WRONG if wrong else COLOURS.get(name, OTHERS)
        parts.append(
            f'<rect x="{LABEL_WIDTH}" y="{y + 2}" width="{length:.1f}" height="{LINE - 6}" fill="{colour}" '
            f'stroke="{OTHERS if wrong else colour}"{DASHED if wrong else ""}/>'
        )
        middle = y + LINE / 2 - 1
        if high - low > 1:
            parts.append(
                f'<line x1="{LABEL_WIDTH + low:.1f}" y1="{middle}" x2="{LABEL_WIDTH + high:.1f}" y2="{middle}" stroke="{INK}"/>'
            )
        if ratio > LONGEST:
            x = LABEL_WIDTH + BAR_WIDTH - 14
            parts.append(f'<path d="M{x} {y + LINE - 3} l5 -{LINE - 4} h4 l-5 {LINE - 4} z" fill="#ffffff"/>')
        end += max(length, high)
    words = [str(figure)] if figure else []
    if figure and ratio and name != unit:
        words.append(f"× {ratio:.2f}")
    if wrong:
        words.append("answers wrongly" if figure else "no answers")
    parts.append(text(end + 6, y + 12, "  ".join(words), fill=FAINT if wrong else INK, size=11))
    reason = f"<title>{escape(name)}: {escape(summary.wrong[name])}</title>" if wrong else ""
    return f"<g>{reason}{''.join(parts)}</g>"


def text(x, y, words, fill=INK, size=12, weight="normal", anchor="start"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'xml:space="preserve">{escape(words)}</text>'
    )


def wrapped(words, length):
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) > length:
            lines.append("")
        lines[-1] += f"{word} "
    return lines

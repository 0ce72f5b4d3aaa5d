"""The figures as a page of Markdown."""

from comparison.rows import FLOOR, METRICS


def markdown(about, summaries):
    return "\n".join([*head(about), *goals(summaries), *failures(summaries), *(line for each in summaries for line in table(about, each))])


def machine(about):
    """The line that says what the figures were taken with."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"{about['rwsgi']} ({about['commit']}), {versions}. "
        f"CPython {about['python']}, {about['kernel']}, {about['cores']} cores of {about['cpu']}, wrk {about['wrk']}."
    )


def head(about):
    optimised = "with" if "--enable-optimizations" in about["python_flags"] else "without"
    return [
        "# rwsgi beside other WSGI servers",
        "",
        machine(about),
        f"The interpreter was built {optimised} profile-guided optimisation.",
        f"Medians of {about['rounds']} rounds of {about['seconds']} s around all servers, with the least and the most, begun {about['date']}.",
        "",
        "One worker on one core and the load on another, 32 connections kept alive, unless a row says otherwise. CPU time is",
        "that of all of a server's processes. A server that answered wrongly is not ranked.",
        "",
    ]


def goals(summaries):
    lines = ["| row | figure | against | aim | reached | |", "|---|---|---|---|---|---|"]
    for summary in summaries:
        for goal in summary.row.goals:
            metric = METRICS[goal.metric or summary.row.metric]
            aim = f"{'at least' if metric.more else 'at most'} {goal.ratio:.2f}"
            if goal.bound is not None:
                aim = f"at most {metric.text(goal.bound)}"
            wanted = "best of " + (" and ".join(goal.against) if goal.against else "all")
            against, reached, enough = summary.reached(goal) or (wanted, "not measured", False)
            lines.append(f"| {summary.row.title} | {metric.label} | {against} | {aim} | {reached} | {'yes' if enough else 'no'} |")
    return ["## What rwsgi aims at", "", "Its figure divided by that of the best of the servers named.", "", *lines, ""]


def failures(summaries):
    lines = [f"- {summary.row.title}: {name} {reason}" for summary in summaries for name, reason in summary.wrong.items()]
    return ["## Not ranked", "", *lines, ""] if lines else []


def table(about, summary):
    row = summary.row
    shown = [row.metric, *row.beside]
    base = "rwsgi" if summary.figure("rwsgi") else None
    yield f"## {row.title[0].upper()}{row.title[1:]}"
    yield ""
    yield "| server | " + " | ".join([METRICS[row.metric].label, "least–most", "times rwsgi's"]) + "".join(
        f" | {METRICS[metric].label}" for metric in row.beside
    ) + " | wrong |"
    yield "|---" * (len(shown) + 4) + "|"
    ranked = summary.ranked()
    for name in [name for name in [FLOOR] if name in summary.rounds] + ranked + [name for name in summary.wrong]:
        figure = summary.figure(name)
        ratio = summary.ratio(name, base) if base else None
        cells = [
            f"**{name}**" if name == "rwsgi" else name,
            str(figure or ""),
            figure.spread() if figure else "",
            f"{ratio:.2f}" if ratio else "",
            *(str(summary.figure(name, metric) or "") for metric in row.beside),
            summary.wrong.get(name, ""),
        ]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""

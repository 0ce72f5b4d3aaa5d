"""The figures as a page of Markdown."""

from comparison.rows import METRICS


def markdown(about, summaries):
    tables = (line for summary in summaries for line in table(summary))
    return "\n".join([*head(about), *goals(summaries), *failures(summaries), *tables])


def machine(about):
    """The line that says what the figures were taken with."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    built = " (built with profile-guided optimisation)" if about["rwsgi_profiled"] else ""
    linked = ", which rwsgi has linked in" if about.get("python_linked_in") else ""
    profiled = "with" if about["python_profiled"] else "without"
    return (
        f"{about['rwsgi']} at {about['commit']}{built}, {versions}. "
        f"CPython {about['python']} built {profiled} profile-guided optimisation{linked}, "
        f"{about['kernel']}, {about['cores']} cores of {about['cpu']}, wrk {about['wrk']}. {rounds(about)}."
    )


def rounds(about):
    if about["rounds"] == 1:
        return f"One round of {about['seconds']} s for each server, {about['date']}"
    return f"Medians of {about['rounds']} rounds of {about['seconds']} s for each server, with the least and the most, {about['date']}"


def head(about):
    return [
        "# rwsgi beside other WSGI servers",
        "",
        machine(about),
        "",
        "One worker on one core and the load on another, 32 connections kept alive, unless a row says otherwise. CPU time is",
        "that of all of a server's processes. A server that answered wrongly is not ranked.",
        "",
    ]


def goals(summaries):
    lines = []
    for summary in summaries:
        for goal in summary.row.goals:
            reached = summary.reached(goal)
            if reached:
                against, figure, enough = reached
                metric = METRICS[goal.metric or summary.row.metric]
                aim = metric.text(goal.bound) if goal.bound is not None else f"{goal.ratio:.2f}"
                aim = f"at {'least' if metric.more else 'most'} {aim}"
                lines.append(f"| {summary.row.title} | {metric.label} | {against} | {aim} | {figure} | {'yes' if enough else 'no'} |")
    if not lines:
        return []
    heads = ["| row | figure | against | aim | rwsgi | reached |", "|---|---|---|---|---|---|"]
    return ["## What rwsgi aims at", "", "Its figure divided by that of the best of those that an aim is about.", "", *heads, *lines, ""]


def failures(summaries):
    lines = [f"- {summary.row.title}: {name} {reason}" for summary in summaries for name, reason in summary.wrong.items()]
    return ["## Not ranked", "", *lines, ""] if lines else []


def table(summary):
    row = summary.row
    yield f"## {row.title[0].upper()}{row.title[1:]}"
    yield ""
    heads = ["server", METRICS[row.metric].label, "least – most", "times rwsgi's", *(METRICS[metric].label for metric in row.beside), "wrong"]
    yield f"| {' | '.join(heads)} |"
    yield f"{'|---' * len(heads)}|"
    for name in summary.order():
        figure = summary.figure(name)
        ratio = summary.ratio(name, "rwsgi")
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

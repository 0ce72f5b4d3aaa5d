"""What the options of the programs here take, each with an error that says what is wrong."""

import argparse
import pathlib


def positive(text):
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to 3600")
    return int(text)


def some_of(known):
    def chosen(text):
        wanted = text.split(",")
        unknown = [name for name in wanted if name not in {one.name for one in known}]
        if unknown:
            raise argparse.ArgumentTypeError(f"there is no {unknown[0]!r}, but {', '.join(one.name for one in known)}")
        return [one for one in known if one.name in wanted]

    return chosen


def program(text):
    path = pathlib.Path(text).resolve()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no program {text}")
    return path

"""Apps as they are usually written, with Flask."""

from flask import Flask, render_template

ITEMS = [{"id": number, "name": f"item {number}", "price": number * 1.5, "stock": number % 2 == 0} for number in range(20)]

hello = Flask(__name__)
json = Flask(__name__)
template = Flask(__name__)


@hello.route("/")
def say_hello():
    return "Hello, world!\n"


@json.route("/")
def list_items():
    return {"items": ITEMS, "total": len(ITEMS)}


@template.route("/")
def show_items():
    return render_template("items.html", title="Items <of the day>", items=ITEMS)

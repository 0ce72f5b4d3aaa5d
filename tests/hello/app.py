"""A Flask app as a tutorial writes it: what the README serves and packages."""

from flask import Flask

app = Flask(__name__)


@app.route("/")
def hello():
    return "Hello from Flask, served by rwsgi.\n"

"""Hostile input for the real app and the library, by tables of bad values and of places for them.

    python -m tests.hostile                       # A stratified sample, as in `make test`.
    python -m tests.hostile --all --report out.json

`server` starts `python app.py` among files that must not change, `client` speaks Gradio's HTTP
protocol without its manners, `values`, `requests`, `files` and `folders` make cases, and `checks`
judges what came back.
"""

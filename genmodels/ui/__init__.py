"""The page: a theme, and one file per tab. Gradio is imported here and in app.py only."""

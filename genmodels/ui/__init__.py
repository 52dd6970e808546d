"""The page: tabs, over components, over services, over the server. Gradio is here and in app.py."""

"""Loading, saving and publishing models and pipelines, and their recipes: safetensors only."""

"""SinGAN: its networks, and how they are trained on one photo."""

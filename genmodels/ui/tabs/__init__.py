"""The tabs: each is `build(load, visit)`."""

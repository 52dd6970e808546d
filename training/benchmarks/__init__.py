"""How fast networks and engines are, and what metrics see."""

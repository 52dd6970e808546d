"""What tabs lay out: panels, controls, galleries."""

"""From a run to a repo: measurements, facts, card."""

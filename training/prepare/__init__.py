"""From photographs, paintings and others' weights to what training takes."""

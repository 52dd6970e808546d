"""Pictures put together from the patches of one photo: source, nearest neighbours, synthesis."""

"""A family of models that the house does not have, as somebody would add it by the guide.

`test_adding_a_family.py` puts these files into a copy of the repository, each where the guide says.
"""

"""What may vary in a search: ranges over the dotted fields of one run's settings."""

from spaces.build import build_space, spell_point
from spaces.fields import Value, field_names, plain_value, to_plain, vary
from spaces.ranges import Range
from spaces.space import SearchSpace

__all__ = [
    "Range",
    "SearchSpace",
    "Value",
    "build_space",
    "field_names",
    "plain_value",
    "spell_point",
    "to_plain",
    "vary",
]

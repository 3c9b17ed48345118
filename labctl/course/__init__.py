"""The course: exercises as YAML files that start, grade, hint and solve themselves (docs/course.md)."""

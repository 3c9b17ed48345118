"""Reading a lab's file: YAML with line numbers, variables, merging, the form, what contradicts what."""

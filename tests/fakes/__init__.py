"""Hand-written fakes, one per interface, held to the same contract as the real thing."""

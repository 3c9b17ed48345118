"""What labctl says, in both languages: phrases under keys, and the Korean of what the lab and errors say."""

"""Looks at prepared data as a colleague would, and says what to mend."""

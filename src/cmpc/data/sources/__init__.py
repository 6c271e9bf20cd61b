"""Where prepared tables come from: one file for each layout that users have."""

"""What `check` says, through the command itself."""

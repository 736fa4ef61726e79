"""What happens in which order: init, restore, invoke, shutdown."""

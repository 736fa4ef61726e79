"""What is told of a run: on the console, as a picture, as a verdict."""

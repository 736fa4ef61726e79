"""One life of the processes, with all that they are given and all that is known of them."""

"""What is in the bucket: keys, metadata, which names are delta candidates. Pure, no I/O."""

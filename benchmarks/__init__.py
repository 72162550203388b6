"""`make bench`: deltaglider-async beside its peers, on one S3 server, with the same files, in turn."""

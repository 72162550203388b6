"""S3 through aioboto3: whole and multipart writes, streamed reads, raw listings, errors translated."""

"""A newsletter engine: plain files in, one message to each reader, whatever happens."""
